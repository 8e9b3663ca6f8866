"""Echo, an invented vendor: an example of a provider type and a wire dialect in a package of their own."""
