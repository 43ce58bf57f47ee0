"""`interp run CONFIG`: commands from a file, so that a whole run can be kept and repeated."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.errors import BadInputError, DamagedFileError, MissingFileError, UnknownNameError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

RUNS = ("layers", "render", "spectrum", "microscope", "atlas", "audit", "lab", "export")
WORDS = ("model", "layer")  # what a command takes without the name of an option
EXAMPLE = """a configuration is a TOML file with a table for each command, whose keys are the command's options:

  model = "my_model.py:make"        # what stands above the tables is for all of them
  weights = "w.safetensors"
  size = 64

  [spectrum]
  layers = ["conv2", "conv3"]
  data = "photographs"
  output = "out/spectrum"
  show = ["conv2/7"]

  [render]
  layer = "conv3"
  output = "out/renderings"

Paths are relative to the folder in which the command is given."""


def add(commands: Commands) -> None:
    """Add the command."""
    command = commands.add_parser(
        "run",
        help="run the commands that a configuration file holds",
        description="Run the commands that a configuration file holds, one after the other. All of it is checked "
        "before the first one starts. After an interruption the same command goes on.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("config", metavar="CONFIG", help="a TOML file")
    command.set_defaults(check=check, command=run_all)


def check(options: argparse.Namespace) -> None:
    """Read the file, and check all commands in it."""
    options.runs = [_parsed(name, words) for name, words in commands_of(options.config)]
    for each in options.runs:
        each.check(each)


def run_all(options: argparse.Namespace) -> None:
    """Run the commands, in the order in which they stand in the file."""
    for each in options.runs:
        each.command(each)


def commands_of(config: str) -> list[tuple[str, list[str]]]:
    """Return (command, words as on the command line) of each table.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it is no TOML.
        UnknownNameError: a table is no command.
        BadInputError: there is no table, or a value is none that an option can have.
    """
    content = _read(config)
    common = {key: value for key, value in content.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    for name in tables:
        if name not in RUNS:
            raise UnknownNameError(f"command in {config!r}", name, RUNS)
    if not tables:
        raise BadInputError(
            f"{config!r} names no command. Begin a table with one of {', '.join(RUNS)}: [render]."
        )
    used = {key: any(key in _keys(name) for name in tables) for key in common}
    for key in (key for key, use in used.items() if not use):
        raise UnknownNameError(f"option above the tables of {config!r}", key, sorted({*_keys(*tables)}))
    return [(name, list(_words(config, name, common, table))) for name, table in tables.items()]


def _read(config: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(config).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {config!r}. Check the path.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{config!r} is no TOML file: {error}") from error


def _keys(*names: str) -> list[str]:
    """Return the keys that the tables of some commands can have."""
    return [key for name in names for key in _options(name)]


def _options(name: str) -> dict[str, argparse.Action]:
    from interp.cli import parser

    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = commands.choices[name]._actions
    return {action.dest: action for action in actions if action.dest != "help"}


def _words(config: str, name: str, common: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[str]:
    options = _options(name)
    for key in table:
        if key not in options:
            raise UnknownNameError(f"option in the table [{name}] of {config!r}", key, list(options))
    given = {key: value for key, value in {**common, **table}.items() if key in options}
    for key in (key for key in WORDS if key in options):
        if key not in given:
            raise BadInputError(f"The table [{name}] of {config!r} needs {key} = ...")
    for key, value in given.items():
        if key not in WORDS:
            yield from _option(f"[{name}] {key}", options[key], value)
    yield "--"  # what comes now is no option, whatever it begins with
    yield from (_text(f"[{name}] {key}", given[key]) for key in WORDS if key in options)


def _option(where: str, action: argparse.Action, value: Any) -> Iterator[str]:
    flag = action.option_strings[-1]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise BadInputError(f"{where} is true or false; got {value!r}.")
        yield from [flag] * value
    elif action.nargs == "+":
        yield from (flag, *(_text(where, each) for each in (value if isinstance(value, list) else [value])))
    else:
        # With the sign of equality, so that no value is taken for an option.
        joined = (
            ",".join(_text(where, each) for each in value) if isinstance(value, list) else _text(where, value)
        )
        yield f"{flag}={joined}" if flag.startswith("--") else f"{flag}{joined}"


def _text(where: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadInputError(f"{where} takes a text, a number or a list of these; got {value!r:.60}.")
    return str(value)


def _parsed(name: str, words: list[str]) -> argparse.Namespace:
    from interp.cli import parser

    sys.stderr.flush()
    return parser().parse_args([name, *words])
