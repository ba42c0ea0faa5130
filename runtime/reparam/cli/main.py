"""The `reparam` command: its own commands, those that others add, and one line for every error."""

import contextlib
import importlib
import importlib.metadata
import os
import sys
import warnings
from typing import IO, Any, Final, NoReturn

import click

from reparam.errors import MissingExtra, ReparamError, printable

GROUP: Final = "reparam.commands"  # entry points: name = "module:click_command", importable without heavy libraries

_EXTRAS: Final = {"torch": "train", "tqdm": "train", "onnx": "export", "onnxscript": "export", "matplotlib": "report"}
_EXTRAS_OF_COMMANDS: Final = {"train": "train", "export": "export", "import-optimum": "convert"}
_OWN: Final = {
    name: f"reparam.cli.{name}:{name}"
    for name in (
        "benchmark",
        "decode",
        "demo",
        "doctor",
        "encode",
        "evaluate",
        "generate",
        "info",
        "reconstruct",
        "sample",
        "verify",
    )
}


class Commands(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Names of all commands, ours and those of entry points."""
        return sorted({*_OWN, *(entry.name for entry in importlib.metadata.entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """The command of a name, ours first; one that fails to import says so when it is run."""
        if cmd_name in _OWN:
            module, _, attribute = _OWN[cmd_name].partition(":")
            return _checked(getattr(importlib.import_module(module), attribute))
        for entry in importlib.metadata.entry_points(group=GROUP, name=cmd_name):
            try:
                return _checked(entry.load())
            except Exception as error:  # somebody else's code: it must not take the other commands with it
                return _broken(cmd_name, f"{entry.value}: {type(error).__name__}: {error}")
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the sub-command; a library that an extra would bring becomes the pip line that brings it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            command = ctx.invoked_subcommand or ""
            extra = _EXTRAS_OF_COMMANDS.get(command, _EXTRAS[package])
            raise MissingExtra(f"{command} needs {package}; pip install 'reparam[{extra}]'") from None


def _checked(command: Any) -> click.Command:
    if not isinstance(command, click.Command):
        raise TypeError(f"must be a click command, got {type(command).__qualname__}")
    return command


def _broken(name: str, reason: str) -> click.Command:
    def fail() -> NoReturn:
        raise ReparamError(f"{name}: this command cannot be loaded: {reason}")

    lenient = {"ignore_unknown_options": True, "allow_extra_args": True}  # whatever was asked of it, say why not
    return click.Command(name, callback=fail, context_settings=lenient, short_help=f"(cannot be loaded: {reason})")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="reparam", message="%(version)s")
def group() -> None:
    """Train variational autoencoders, export them as two ONNX graphs, run them without PyTorch.

    \b
    reparam demo --out demo                                        everything once, with pictures
    reparam train digits --out run                                 train on the digits that ship with it
    reparam export run bundle                                      two ONNX graphs, proved against PyTorch
    reparam generate bundle 16 --seed 7 --out x.npy                draws from the prior
    reparam encode bundle x.npy --mean mean.npy                    posterior means of rows
    """


def main() -> NoReturn:
    """Runs the command; every expected error is one line on stderr, `error: ...`, and its exit code."""
    held: list[str] = []

    def hold(message: Warning | str, *_: object, **__: object) -> None:
        held.append(f"warning: {_one_line(str(message))}")

    warnings.showwarning = hold
    try:
        code = group.main(standalone_mode=False)
        sys.stdout.flush()
        _tell(held)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2 and later; its message is the whole help
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        _fail(_one_line(error.format_message()).rstrip(".") + hint, 2)
    except click.ClickException as error:
        _fail(_one_line(error.format_message()), error.exit_code)
    except ReparamError as error:
        _fail(_one_line(str(error)), error.exit_code)
    except BrokenPipeError:
        _let_go(sys.stdout)  # its reader has gone; there is nobody to tell
        sys.exit(141)
    except OSError as error:
        _let_go(sys.stdout)
        _fail(f"{error.filename or 'output'}: {error.strerror or error}; check the path and the disk", 5)
    except MemoryError:
        _fail("memory ran out; use fewer rows or a smaller --max-batch", 5)
    sys.exit(code if isinstance(code, int) else 0)


def _let_go(stream: IO[str]) -> None:
    """Points a stream that fails at nothing, so that the interpreter's last flush does not fail as well."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _one_line(message: str) -> str:
    return printable(" ".join(message.split()))


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _tell(held: list[str]) -> None:
    """Warnings come once the work is done: beside an error there is one line, the error."""
    for line in held:
        click.echo(line, err=True)


if __name__ == "__main__":
    main()
