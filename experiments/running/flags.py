"""How a config dataclass becomes flags, and a user's mistake one clear line."""

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import TextIOWrapper
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Protocol,
    Self,
    TypeVar,
    get_args,
    get_origin,
)

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings
from jsonargparse.typing import register_type

import tracking
from experiments import running
from experiments.running import console
from experiments.running.help_text import help_formatter, usage
from experiments.running.identity import Flags
from experiments.running.launch import is_first_process, process_group
from experiments.running.memory import keep_freed_memory
from experiments.running.run_names import run_name
from experiments.running.stopping import Stopped, stoppable
from experiments.running.temporary import temporary_folder
from fundus_ml import models, training
from fundus_ml.errors import InputError
from fundus_ml.statistics.numerals import RangeError, plain, read_number, read_whole, shortened
from tracking.errors import TrackingError

if TYPE_CHECKING:
    from dataclasses import Field

USER_MISTAKE = 2
"""Exit code of a run that ended on a user's mistake."""


class Number(float):
    """A float that also reads as a fraction: ``0.5``, ``1e-3``, ``4/255``."""

    def __new__(cls, text: str | float) -> Self:
        """Read ``text``.

        Raises:
            ValueError: As :func:`~fundus_ml.statistics.numerals.read_number`.
        """
        return super().__new__(cls, read_number(str(text)))


class Numbers(tuple[float, ...]):
    """Numbers with commas between them: ``0.5,1,2`` or ``1/255,2/255``."""

    __slots__ = ()

    def __new__(cls, text: str | Iterable[float]) -> Self:
        """Read ``text``, or take numbers as they are."""
        parts = text.split(",") if isinstance(text, str) else text
        return super().__new__(cls, (float(Number(part)) for part in parts))

    def __str__(self) -> str:
        """Write the numbers as they are typed."""
        return ",".join(map(plain, self))


StepLength = Number | Literal["auto"]
"""Type of the flag ``step_size``, and of a budget that may be chosen."""
StepCount = int | Literal["auto"]
"""Type of the flag ``attack_steps`` where it may be chosen."""

register_type(Number, serializer=str, deserializer=Number, fail_already_registered=False)
register_type(Numbers, serializer=str, deserializer=Numbers, fail_already_registered=False)
set_parsing_settings(docstring_parse_attribute_docstrings=True)


_MUST_BE: Mapping[object, str] = MappingProxyType(
    {
        int: "a whole number such as 12",
        float: "a number such as 0.5",
        bool: "true or false",
        Number: "a number, or a fraction such as 4/255",
        Numbers: "numbers or fractions with commas between them, such as 0.5,1,2",
        StepCount: "auto, or a whole number",
        StepLength: "auto, a number, or a fraction such as 1/255",
    }
)
"""What each type of flag takes, in the words of the line that refuses another value."""
_READERS: Mapping[object, Callable[[str], object]] = MappingProxyType(
    {
        int: read_whole,
        float: read_number,
        Number: Number,
        Numbers: Numbers,
        StepCount: lambda text: text == "auto" or read_whole(text),
        StepLength: lambda text: text == "auto" or read_number(text),
    }
)
"""What reads the text of a number before the parser, which would take 1:30 for 90, does."""


class Config(Flags, Protocol):
    """A frozen dataclass whose fields are the flags of one entry point."""

    @property
    def verbose(self) -> bool:
        """Whether details are printed too."""


C = TypeVar("C", bound=Config)
T = TypeVar("T")


def parse(config_class: type[C], argv: Sequence[str] | None, *, name: str) -> C:
    """Turn flags into a config.

    Args:
        config_class: Frozen dataclass; field = flag.
        argv: Flags without the program's name; None reads the command line.
        name: Name of the entry point, for the help text.

    Raises:
        InputError: An unknown or missing flag, or a value that its type refuses.
    """
    module = inspect.getmodule(config_class)
    parser = ArgumentParser(
        prog=f"python -m experiments.{name}",
        usage=usage(name, config_class),
        formatter_class=help_formatter(config_class, _MUST_BE),
        description=inspect.getdoc(module),
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_class_arguments(config_class, as_group=False)
    arguments = sys.argv[1:] if argv is None else list(argv)
    _check_numbers(config_class, arguments)
    try:
        values = parser.parse_args(arguments)
    except ArgumentError as error:
        raise InputError(_one_line(str(error), config_class, arguments)) from error
    return config_class(
        **{f.name: _typed(f, values[f.name]) for f in dataclasses.fields(config_class)}
    )


def run_entry_point(
    name: str,
    config_class: type[C],
    function: "Callable[[C, tracking.Run], T]",
    argv: Sequence[str] | None,
    *,
    processes: bool = False,
) -> None:
    """Parse the flags and run ``function`` as one recorded run.

    A user's mistake, in the flags or later, ends with one line on stderr, exit code 2, and a run
    marked FAILED that carries the line as its tag ``failure``; so does what stands in the way
    outside the program, such as a full disk. Ctrl-C and SIGTERM end with one line too, the exit
    code a shell gives them, and a run marked KILLED.

    Args:
        name: Name of the entry point.
        config_class: Its flags.
        function: What it does.
        argv: Flags; None reads the command line.
        processes: Whether several processes under ``torchrun`` may run it together.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A table may hold names that the locale cannot write.
        sys.stdout.reconfigure(errors="backslashreplace")
    keep_freed_memory()
    try:
        with stoppable(), temporary_folder():
            try:
                config = parse(config_class, argv, name=name)
            except InputError as error:
                _refuse(name, str(error))
            with process_group(allowed=processes):
                execute(name, function, config)
    except (InputError, TrackingError) as error:
        _stop(name, str(error), USER_MISTAKE)
    except Stopped as stopped:
        _stop(name, f"{stopped}; the same command goes on", stopped.exit_code)


def execute(
    name: str,
    function: "Callable[[C, tracking.Run], T]",
    config: C,
    *,
    step: str = "",
    called: str = "",
) -> T:
    """Run ``function`` with ``config`` as one recorded run, nested where a run is open.

    Of several processes the first one records.

    Args:
        name: Name of the entry point.
        function: What it does.
        config: Its flags.
        step: What stands before its lines on the console where it is a step of another run.
        called: Name of its run; :func:`.run_names.run_name` when omitted.
    """
    with console.speaking(verbose=config.verbose, step=step) as said:
        return _recorded(name, function, config, said, called=called or run_name(name, config))


def _recorded(
    name: str,
    function: "Callable[[C, tracking.Run], T]",
    config: C,
    said: list[str],
    *,
    called: str,
) -> T:
    if not training.world().first:
        return function(config, tracking.SilentRun())
    parameters = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    with tracking.start_run(called, parameters) as run:
        run.set_tags({"stage": name})
        running.check_ready(config, run)
        with models.telling(lambda choice: _tell_precision(choice, run)):
            found = function(config, run)
        run.describe("\n\n".join(said))
        return found


def _tell_precision(choice: "models.PrecisionChoice", run: "tracking.Run") -> None:
    """Say in which precision ``auto`` computes, and keep it with the run."""
    console.remark(choice.words)
    run.set_tags({"precision_chosen": choice.precision})


def _check_numbers(config_class: type[Config], arguments: Sequence[str]) -> None:
    """Refuse a number that is not written plainly, or beyond the one range of its kind."""
    for field in dataclasses.fields(config_class):
        read = _READERS.get(field.type)
        if read is None:
            continue
        for text in _given(field.name, arguments):
            try:
                read(text)
            except RangeError as error:
                raise InputError(f"{field.name}={shortened(text)}: {error}") from None
            except ValueError:
                rule = f"must be {_MUST_BE[field.type]}"
                raise InputError(f"{field.name}={shortened(text)}: {rule}") from None


def _typed(field: "Field[Any]", value: object) -> object:
    # jsonargparse hands a kind of tuple back as a plain one.
    return Numbers(value) if field.type is Numbers and isinstance(value, tuple) else value


def _refuse(name: str, line: str) -> NoReturn:
    """Answer wrong flags at once, then leave a FAILED run behind where a store is there."""
    _say(name, line)
    if is_first_process():
        try:
            tracking.record_failure(name, line)
        except TrackingError as error:
            _say(name, f"not recorded: {error}")
    sys.exit(USER_MISTAKE)


def _stop(name: str, line: str, code: int) -> NoReturn:
    _say(name, line)
    sys.exit(code)


def _say(name: str, line: str) -> None:
    if is_first_process():
        sys.stderr.write(f"{name}: {line}\n")
        sys.stderr.flush()


def _one_line(message: str, config_class: type[Config], arguments: Sequence[str]) -> str:
    fields = {field.name: field.type for field in dataclasses.fields(config_class)}
    if unknown := re.match(r"unrecognized arguments: --([\w-]+)", message):
        return f"{unknown[1]}: unknown parameter; allowed: {', '.join(fields)}"
    if missing := re.match(r"the following arguments are required: (.+)", message):
        return f"{missing[1]}: required and not given"
    if wrong := re.match(r'Parser key "([^"]+)"', message):
        name = wrong[1]
        allowed = get_args(fields[name]) if get_origin(fields[name]) is Literal else ()
        rule = f"allowed: {', '.join(allowed)}" if allowed else f"must be {_MUST_BE[fields[name]]}"
        return f"{name}={shortened(_given(name, arguments)[-1])}: {rule}"
    return " ".join(message.split())


def _given(name: str, arguments: Sequence[str]) -> list[str]:
    """Collect the values of ``--name value`` and ``--name=value``."""
    parts = [argument.partition("=") for argument in arguments]
    return [
        value if equals else "".join(arguments[place + 1 : place + 2])
        for place, (flag, equals, value) in enumerate(parts)
        if flag == f"--{name}"
    ]
