from __future__ import annotations

from pathlib import Path

import pytest

from loomwire.cli.main import COMMANDS, main
from loomwire.cli.output import EXIT_CODES, exit_code, show_error
from loomwire.domain.errors import BudgetExceededError, ConfigError, LLMError, PluginError, WiringError
from loomwire.domain.faults import ErrorCategory
from support.commands import loomwire
from support.folders import SAMPLE, folder


def left(*words: str) -> object:
    """Return the code with which `main` leaves."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


def test_help_lists_every_command() -> None:
    ran = loomwire("--help")
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in COMMANDS)


def test_the_version_is_shown() -> None:
    assert loomwire("--version").out.startswith("loomwire, version ")


def test_commands_leave_with_their_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert left("explain", "CFG010") == 0
    assert left("check", "/nowhere") == 3
    assert left("explain", "nothing") == 2
    assert left("frob") == 2
    assert left() == 2
    assert left("ask", "planer", "Hi", "--config", str(SAMPLE)) == 3
    assert "Usage: loomwire " in capsys.readouterr().err


def test_every_category_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(ErrorCategory)
    assert exit_code(ConfigError("x")) == exit_code(WiringError("x", problems=())) == 3
    assert exit_code(BudgetExceededError("x")) == 5
    assert exit_code(PluginError("x")) == 1
    assert exit_code(LLMError("x")) == 6
    assert exit_code(KeyError("x")) == 1


def test_an_error_that_is_not_ours_is_one_line_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(KeyError("sk-secret"))
    assert capsys.readouterr().err == "internal error: KeyError; run again with LOOMWIRE_DEBUG=1 for the trace\n"


@pytest.mark.parametrize(
    ("words", "env", "coloured"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_obey_the_option_then_the_environment_then_the_terminal(
    words: tuple[str, ...], env: dict[str, str], *, coloured: bool
) -> None:
    for command in (("explain", "CFG010"), ("check", "/nowhere"), ("ask", "planer", "Hi", "--config", str(SAMPLE))):
        ran = loomwire(*words, *command, env={"NO_COLOR": None, "FORCE_COLOR": None, **env})
        assert ("\x1b[" in ran.out + ran.err) is coloured


def test_a_trace_is_shown_only_when_asked_for(tmp_path: Path) -> None:
    where = folder(tmp_path, [{"error": "throttled"}], defaults={"retry": {"attempts": 1}})
    words = ("ask", "planner", "Hi", "--config", where)
    assert "Traceback" not in loomwire(*words).err
    ran = loomwire(*words, env={"LOOMWIRE_DEBUG": "1"})
    assert "Traceback" in ran.err
    assert "error[RAT001]" in ran.err
    assert ran.code == 7
