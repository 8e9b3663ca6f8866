"""The contract of configuration sources notices every broken promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.errors import ConfigError
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.domain.reports.problems import Problem
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.source import ConfigSourceContract


class Source(IConfigSource):
    """A source in memory that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.clients: Mapping[str, str] | None = None
        self.path = "/clients"

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        watched = (self.path,)
        if self.clients is None:
            return ConfigReading("nothing", None, (Problem("not_yaml", "there is nothing"),), watched)
        known = {} if before is None else before.models
        models = {name: self.kept(_model(name, id_), known) for name, id_ in self.clients.items()}
        was = {} if before is None else before.clients
        clients: dict[str, ClientConfig] = {}
        for name, model in models.items():
            client = was.get(name)
            is_same = client is not None and client.targets[0] is model
            clients[name] = client if client and is_same else ClientConfig(name=name, targets=(model,))
        listed = {f"of-{name}": model for name, model in models.items()}
        snapshot = Snapshot(digest=self.digest(), clients=clients, models=listed)
        return ConfigReading(snapshot.digest, snapshot, (), watched)

    def digest(self) -> str:
        """Identify the content."""
        return repr(sorted((self.clients or {}).items()))

    def kept(self, model: LLMConfig, known: Mapping[str, LLMConfig]) -> LLMConfig:
        """Return the model that is in force when it is the same."""
        return next((each for each in known.values() if each == model), model)


def _model(name: str, id_: str) -> LLMConfig:
    return LLMConfig(type="mock", name=name, model=id_)


class NamesNoModels(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        if self.clients is not None:
            self.clients = dict.fromkeys(self.clients, "m")
        return super().read(before)


class TwoDigests(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return replace(super().read(before), digest="another")


class CallsAWarningAnError(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return replace(super().read(before), problems=(Problem("unknown_key", "odd"),))


class ReadsOnce(Source):
    """Goes on with what it read first."""

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        self.first = getattr(self, "first", None) or super().read(before)
        return self.first


class OneDigest(Source):
    @override
    def digest(self) -> str:
        return "always"


class Counts(Source):
    """Gives every reading another digest."""

    reads = 0

    @override
    def digest(self) -> str:
        self.reads += 1
        return str(self.reads)


class Raises(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        if self.clients is None:
            raise ConfigError("there is nothing", reason="not_yaml")
        return super().read(before)


class Silent(Source):
    """Names no error."""

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return replace(super().read(before), problems=())


class KeepsWhatIsInForce(Source):
    """Gives what is in force when what it says is bad."""

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return replace(super().read(before), snapshot=before) if self.clients is None else super().read(before)


class DigestOfTheLastGood(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        reading = super().read(before)
        return replace(reading, digest=before.digest) if before and not reading.snapshot else reading


class CountsTheBad(Source):
    reads = 0

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        self.reads += 1
        reading = super().read(before)
        return reading if reading.snapshot else replace(reading, digest=str(self.reads))


class StaysBad(Source):
    was_bad = False

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        self.was_bad = self.was_bad or self.clients is None
        if self.was_bad:
            self.clients = None
        return super().read(before)


class BuildsAnew(Source):
    @override
    def kept(self, model: LLMConfig, known: Mapping[str, LLMConfig]) -> LLMConfig:
        return model


class KeepsByName(Source):
    @override
    def kept(self, model: LLMConfig, known: Mapping[str, LLMConfig]) -> LLMConfig:
        return next((each for each in known.values() if each.name == model.name), model)


class CopiesModels(Source):
    """Keeps the clients, and lists copies of their models."""

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        reading = super().read(before)
        if before is None or reading.snapshot is None:
            return reading
        copies = {name: replace(model) for name, model in reading.snapshot.models.items()}
        return replace(reading, snapshot=replace(reading.snapshot, models=copies))


class ComparesWithTheLastReading(Source):
    last: Snapshot | None = None

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        reading = super().read(self.last)
        self.last = reading.snapshot
        return reading


class Relative(Source):
    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return replace(super().read(before), watched=("clients",))


class Suite(ConfigSourceContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Source]) -> None:
        self.broken = broken

    @override
    def source(self) -> IConfigSource:
        return self.broken()

    @override
    def say(self, source: IConfigSource, clients: Mapping[str, str]) -> None:
        assert isinstance(source, Source)
        source.clients = clients

    @override
    def spoil(self, source: IConfigSource) -> None:
        assert isinstance(source, Source)
        source.clients = None


BROKEN: list[tuple[str, type[Source], str]] = [
    ("a_valid_configuration_is_a_snapshot", NamesNoModels, "the model of each client is"),
    ("a_valid_configuration_is_a_snapshot", TwoDigests, "and not 'another'"),
    ("a_valid_configuration_is_a_snapshot", CallsAWarningAnError, "the errors among its problems is ['odd']"),
    ("it_is_read_anew_each_time", ReadsOnce, "the clients after an edit"),
    ("it_is_read_anew_each_time", OneDigest, "other content has the same digest"),
    ("equal_content_has_an_equal_digest", Counts, "the digest when it is read again"),
    ("a_bad_configuration_is_a_reading_with_problems", Raises, "ConfigError: "),
    ("a_bad_configuration_is_a_reading_with_problems", Silent, "no error is named"),
    ("a_bad_configuration_is_a_reading_with_problems", KeepsWhatIsInForce, "it has a snapshot when another one"),
    ("a_bad_configuration_has_a_digest_too", DigestOfTheLastGood, "it has the digest of the valid one before"),
    ("a_bad_configuration_has_a_digest_too", CountsTheBad, "the digest when the same is read again"),
    ("a_bad_configuration_is_forgotten_when_it_is_mended", StaysBad, "what `say` wrote is refused"),
    ("what_is_the_same_is_the_same_object", BuildsAnew, "a client that is the same is another object"),
    ("what_is_the_same_is_the_same_object", KeepsByName, "a client that changed is the object of before"),
    ("what_is_the_same_is_the_same_object", CopiesModels, "is ['of-steady'] and not []"),
    ("what_is_in_force_counts_and_not_what_was_read_last", ComparesWithTheLastReading, "is the same is another object"),
    ("what_to_watch_is_absolute", Relative, "'clients' is not absolute"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Source], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def _claims() -> list[str]:
    return sorted(name for name in dir(ConfigSourceContract) if name.startswith("test_"))


@pytest.mark.parametrize("claim", _claims())
def test_one_that_keeps_them_all_passes(claim: str) -> None:
    getattr(Suite(Source), claim)()


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    assert set(_claims()) == {f"test_{claim}" for claim, _, _ in BROKEN}
