"""`python -m loomwire`: the same as the command `loomwire`."""

from loomwire.cli.main import main

main()
