"""The comparison with other libraries: their environments, one turn, who may take part, and the verdict."""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

import dev
from benchmarks.__main__ import main
from benchmarks.clients.adapter import ClientName, PerRoute
from benchmarks.peers.comparison import Comparison, Turn, admit, environment_of, turn_words
from benchmarks.peers.contenders import CONTENDERS, TITLES, Contender
from benchmarks.peers.environments import Environments, NotInstalledError, install_with_pip
from benchmarks.peers.probe import watch
from benchmarks.peers.report import Report
from benchmarks.peers.standings import COLUMNS, standings
from benchmarks.runs import ENVIRONMENT, ROOT, BenchmarkError, printed_by, serving
from benchmarks.worker import Figures

PINS = ROOT / "requirements" / "peers"
CLIENTS = ROOT / "benchmarks" / "clients"
PEERS = [contender for contender in CONTENDERS if contender.environment is not None]


class Registry:
    """Stands in for pip: notes what was asked, and fails as told."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.asked: list[str] = []

    def install(self, python: Path, requirements: Path) -> tuple[int, str]:
        self.asked.append(requirements.stem)
        assert python.exists()
        return (1, self.failures.pop(0)) if self.failures else (0, "")


def environments(folder: Path, registry: Registry, said: list[str] | None = None) -> Environments:
    """Return environments in a new folder whose only library is `peer`."""
    pins = folder / "pins"
    pins.mkdir(exist_ok=True)
    (pins / "peer.txt").write_text("peer==1.0\n", encoding="utf-8")
    return Environments((said if said is not None else []).append, folder / "places", pins, registry.install)


def test_an_environment_is_made_once_and_again_when_its_pins_change(tmp_path: Path) -> None:
    registry, said = Registry(), list[str]()
    made = environments(tmp_path, registry, said)
    python = made.python_of("peer")
    assert made.python_of("peer") == python
    assert registry.asked == ["peer"]
    assert said[0] == "installing peer into places/peer ..."
    (tmp_path / "pins" / "peer.txt").write_text("peer==1.1\n", encoding="utf-8")
    made.python_of("peer")
    assert registry.asked == ["peer", "peer"]
    assert (tmp_path / "places" / ".gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: No matching distribution found for peer==1.0\n", "for peer==1.0; is the network there"),
        ("ERROR: [Errno 28] No space left on device\n", "No space left on device$"),
    ],
)
def test_a_failed_install_says_why_and_is_not_taken_for_an_environment(tmp_path: Path, said: str, told: str) -> None:
    registry = Registry(said)
    made = environments(tmp_path, registry)
    with pytest.raises(NotInstalledError, match=told):
        made.python_of("peer")
    assert not (tmp_path / "places" / "peer").exists()
    assert made.python_of("peer").exists()


def test_a_library_without_pins_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"other\.txt cannot be read"):
        environments(tmp_path, Registry()).python_of("other")


def test_a_second_benchmark_waits_for_the_first_ones_install(tmp_path: Path) -> None:
    waits, registry, pythons = threading.Event(), Registry(), list[Path]()
    made = environments(tmp_path, registry)
    second = Environments(
        lambda words: waits.set() if "waiting" in words else None, made.folder, made.pins, made.installer
    )
    made.folder.mkdir()
    with (made.folder / "lock").open("w", encoding="utf-8") as file:
        assert dev.take(file)
        thread = threading.Thread(target=lambda: pythons.append(second.python_of("peer")))
        thread.start()
        assert waits.wait(10)
        assert registry.asked == []
    thread.join(10)
    assert registry.asked == ["peer"]
    assert pythons[0].exists()


def test_pip_of_our_environment_installs_into_another(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.txt"
    nothing.touch()
    code, output = install_with_pip(Path(sys.executable), nothing)
    assert code == 0, output


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_is_pinned_by_hash_and_without_an_address(peer: Contender) -> None:
    text = (PINS / f"{peer.environment}.txt").read_text(encoding="utf-8")
    assert f"\n{peer.package}==" in f"\n{text}"
    assert "typing-extensions==" in text, "the adapters need it"
    assert "://" not in text
    assert str(Path.home()) not in text
    for pin in text.replace("\\\n", " ").splitlines():
        assert pin.lstrip().startswith("#") or "--hash=sha256:" in pin


@pytest.mark.parametrize("adapter", sorted(CLIENTS.glob("*.py")), ids=lambda path: path.stem)
def test_an_adapter_of_a_peer_imports_nothing_that_its_environment_lacks(adapter: Path) -> None:
    if adapter.stem in {"ours", "raw_httpx", "raw_aiohttp"}:
        return
    shared = {"__future__", "benchmarks", "typing_extensions", *sys.stdlib_module_names}
    assert set(imported(ast.walk(ast.parse(adapter.read_text(encoding="utf-8"))))) <= shared


def imported(nodes: Iterable[ast.AST]) -> Iterable[str]:
    """Return the top-level packages that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_what_a_client_needs_once_per_route_is_made_once() -> None:
    made: list[str] = []

    def make(route: str) -> str:
        made.append(route)
        return route.upper()

    clients = PerRoute(make)
    assert [clients["plain"], clients["plain"], clients["long"]] == ["PLAIN", "PLAIN", "LONG"]
    assert made == ["plain", "long"]


def test_a_client_is_kept_on_loopback() -> None:
    strangers: set[str] = set()
    hook = watch(strangers)
    hook("socket.connect", (None, ("127.0.0.1", 80)))
    hook("socket.connect", (None, "/tmp/a.socket"))
    hook("socket.getaddrinfo", ("localhost", 80))
    hook("open", ("/etc/hosts", "r", 0))
    assert not strangers
    for event, arguments in (
        ("socket.connect", (None, ("10.0.0.1", 443, 0, 0))),
        ("socket.getaddrinfo", ("stranger.example", 443)),
    ):
        with pytest.raises(OSError, match="keeps every client on loopback"):
            hook(event, arguments)
    assert strangers == {"10.0.0.1", "stranger.example"}


def test_a_contender_inherits_no_settings_no_proxy_and_no_other_python() -> None:
    environ = {"HTTPS_PROXY": "p", "no_proxy": "p", "OPENAI_API_KEY": "k", "PYTHONPATH": "x", "PATH": "here"}
    assert environment_of(environ) == {"PATH": "here", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def test_a_turn_measures_the_start_and_the_calls_in_one_process() -> None:
    httpx = CONTENDERS[2]
    words = ["sequential", "chunk", "history", "concurrent"]
    with serving(None) as port:
        printed = printed_by([sys.executable, *turn_words(httpx, port, None, dict.fromkeys(words, 1))], ENVIRONMENT)
        version = printed_by(
            [sys.executable, "-m", "benchmarks.peers.probe", f'["httpx",{port},"httpx"]'], dict(os.environ)
        )
    turn = msgspec.json.decode(printed, type=dict[str, Figures])
    assert {(column.measure, column.field) for column in COLUMNS} <= {(m, f) for m in turn for f in turn[m]}
    assert turn["ready"]["cpu"] > turn["start"]["cpu"] > 0
    assert version.startswith("0.")


def admitted(failing: str, tmp_path: Path, place: str | None) -> tuple[dict[ClientName, str], list[str]]:
    """Let two contenders in, one of whose probes fails; return who is missing and what was said."""

    def run(command: list[str]) -> str:
        if f'["{failing}",' in command[-1]:
            raise BenchmarkError("a\ntraceback\nof many lines")
        return "1.0"

    said: list[str] = []
    both = [
        Contender("ours", "loomwire", "loomwire", "loomwire"),
        Contender("openai", "SDK", "openai", "openai", place),
    ]
    return admit(both, environments(tmp_path, Registry("no", "no")), said.append, run, 80).missing, said


def test_who_cannot_be_installed_or_cannot_do_the_work_is_left_out(tmp_path: Path) -> None:
    missing, said = admitted("nobody", tmp_path, "peer")
    assert (missing, said) == ({"openai": "not installed"}, ["SDK is not installed: no"])
    missing, said = admitted("nobody", tmp_path, "unknown")
    assert missing == {"openai": "not installed"}


def test_a_broken_peer_says_so_in_a_line_and_a_broken_client_of_ours_ends_the_comparison(tmp_path: Path) -> None:
    made = environments(tmp_path, Registry())
    made.python_of("peer")
    missing, said = admitted("openai", tmp_path, "peer")
    assert missing == {"openai": "cannot do the work"}
    assert said == ["SDK cannot do the work: of many lines"]
    with pytest.raises(BenchmarkError, match="traceback"):
        admitted("ours", tmp_path, "peer")


def turn(call: float) -> Turn:
    """Return a turn in which everything took so many milliseconds."""
    measures = {column.measure for column in COLUMNS}
    return {measure: {"cpu": call / 1e3, "wall": call / 1e3, "resident": call * 2**20} for measure in measures}


def reported(missing: dict[ClientName, str] | None = None, **calls: float) -> Report:
    """Return the report of two rounds, the second on a machine that has become three times slower."""
    names: dict[str, ClientName] = {contender.name: contender.name for contender in CONTENDERS}
    turns = {names[name]: [turn(call), turn(3 * call)] for name, call in calls.items()}
    comparison = Comparison(turns, dict.fromkeys(turns, "1.2"), missing or {})
    return Report(comparison, standings(turns), "2026-01-02", quick=False)


def test_ours_wins_when_every_peer_costs_more() -> None:
    report = reported(ours=0.4, httpx=1.0, aiohttp=0.3, openai=2.0, litellm=4.0)
    first = report.standings[0]
    assert (first.winner, first.next, first.beaten_by) == ("ours", "openai", [])
    assert first.figures["ours"].median == pytest.approx(0.4)
    assert first.margin == pytest.approx(5)
    assert report.exit_code() == 0
    assert "sequential call: loomwire 0.40x, then openai SDK 2.00x (5.0 times)" in report.table()


def test_a_bare_client_is_shown_and_beats_nobody() -> None:
    report = reported(ours=0.4, httpx=1.0, aiohttp=0.1)
    assert report.exit_code() == 0
    assert {(standing.winner, standing.next) for standing in report.standings} == {("ours", None)}
    assert "raw aiohttp" in report.table()


def test_a_peer_that_is_cheaper_per_call_fails_the_comparison() -> None:
    report = reported(ours=0.4, httpx=1.0, openai=0.39)
    assert report.exit_code() == 1
    assert [standing.column.key for standing in report.standings if standing.lost] == [
        "sequential", "concurrent", "chunk", "history",
    ]  # fmt: skip
    assert "LOST  streamed chunk: openai SDK 0.39x, then loomwire 0.40x" in report.table()


def test_a_comparison_without_somebody_is_incomplete() -> None:
    report = reported({"litellm": "not installed"}, ours=0.4, httpx=1.0, openai=2.0)
    assert report.exit_code() == 3
    assert "LiteLLM acompletion  not installed\n" in report.table()
    assert "| LiteLLM acompletion | not installed |" in report.markdown()
    assert reported({"litellm": "not installed"}, ours=0.4, httpx=1.0, openai=0.2).exit_code() == 1


def test_the_table_of_the_readme_holds_date_versions_and_command_between_its_marks() -> None:
    text = reported(ours=0.4, httpx=1.0, openai=2.0).markdown()
    assert text.startswith("<!-- peers -->\n| client |")
    assert text.endswith("<!-- /peers -->\n")
    for words in ("2026-01-02", "openai 1.2", "`python3 dev.py bench --peers`", "| 1 = 2000 us | 1 = 2000 us / 1 |"):
        assert words in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def test_the_json_holds_every_round() -> None:
    report = msgspec.json.decode(reported(ours=0.4, httpx=1.0, openai=2.0).json(), type=dict[str, object])
    assert report["schema"] == "loomwire/bench-peers/1"
    turns = report["turns"]
    assert isinstance(turns, dict)
    assert [len(turns[name]) for name in ("ours", "httpx", "openai")] == [2, 2, 2]


def test_every_contender_has_a_title_of_its_own() -> None:
    assert len(set(TITLES.values())) == len(CONTENDERS)


@pytest.mark.parametrize("words", [["--peers", "--update-baseline"], ["--markdown", "table.md"]])
def test_words_that_do_not_go_together_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "--peers" in capsys.readouterr().err
