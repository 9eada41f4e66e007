"""Reads files that may be damaged or of another kind: an error names the file, what it seems to be, and what to do."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from model.section import ConfigError, shown

T = TypeVar("T")
LFS_POINTER = b"version https://git-lfs"
N_BYTES = 65536
"""Bytes that are looked at."""
SIGNATURES: dict[bytes, str] = {
    b"\x1f\x8b": "a gzip file; decompress it with gunzip",
    b"BZh": "a bzip2 file; decompress it with bunzip2",
    b"\xfd7zXZ\x00": "an xz file; decompress it with unxz",
    b"(\xb5/\xfd": "a zstd file; decompress it with unzstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; extract it",
    b"PK\x03\x04": "a ZIP archive or a workbook; extract it, or save it as FORM",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as FORM",
    b"PAR1": "a Parquet file; save it as FORM",
    b"%PDF": "a PDF document; save it as FORM",
    b"\xff\xfe\x00\x00": "text in UTF-32; save it as FORM",
    b"\x00\x00\xfe\xff": "text in UTF-32; save it as FORM",
    b"\xff\xfe": "text in UTF-16; save it as FORM",
    b"\xfe\xff": "text in UTF-16; save it as FORM",
    LFS_POINTER: "a pointer of Git LFS; fetch the file with git lfs pull",
    b"<": "a web page or XML; download the file itself",
}
"""Kind of a file by its first bytes, and what to do; FORM stands for the format that is expected."""
RESTORE = "restore it from a copy, or use the version of the project that wrote it"


def kind_of(path: Path, form: str) -> str | None:
    """The kind of a file by its contents, and what to do; None where it may be `form`, a UTF-8 format. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(N_BYTES)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    kinds = [kind for signature, kind in SIGNATURES.items() if start.startswith(signature) or text.startswith(signature)]
    if kinds:
        return kinds[0].replace("FORM", form)
    if not text:
        return "an empty file; copy or write it again"
    if text.startswith((b"{", b"[")) and form.startswith("tab"):
        return f"JSON; save it as {form}"
    if b"\0" in start:
        is_utf16 = max(start[0::2].count(0), start[1::2].count(0)) > len(start) // 4
        return f"{'text in UTF-16' if is_utf16 else 'a binary file'}; save it as {form}"
    if b"\r\r\n" in start:
        return "text whose lines end in CR CR LF; convert the line ends to LF"
    if b"\r" in start and b"\n" not in start:
        return "text whose lines end in CR, as on old Macs; convert the line ends to LF"
    return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_json(path: Path, kind: type[T], advice: str = RESTORE) -> T:
    """The value in a JSON file, as an instance of the type or dataclass `kind`; further keys are ignored.

    Raises FileNotFoundError, and `ConfigError` where the file cannot be read or, with the advice, for any other contents.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        kind_found = kind_of(path, "JSON in UTF-8")
        problem = f"is not JSON ({_short(error)})" if kind_found is None else f"seems to be {kind_found}"
        raise ConfigError([f"{path} {problem}; {advice}"]) from None
    return checked(value, kind, path, advice)


def checked(value: Any, kind: type[T], path: Path, advice: str = RESTORE) -> T:
    """A value of a file as an instance of the type or dataclass `kind`. Raises `ConfigError` where it is none."""
    try:
        return _adapter(kind).validate_python(value)  # type: ignore[no-any-return,arg-type]
    except (ValidationError, RecursionError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = shown(".".join(map(str, first["loc"]))) or "the file"
        raise ConfigError([f"{path} cannot be used: {place}: {_short(first['msg'])}; {advice}"]) from None


def read_yaml(path: Path) -> Any:
    """The value in a YAML file. Raises OSError where it cannot be opened, and `ConfigError` for anything but YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # PyYAML raises other errors than its own for odd values, such as `!!int ""`
        kind = kind_of(path, "YAML in UTF-8")
        raise ConfigError([f"{path} is not YAML: {_short(error) if kind is None else f'it seems to be {kind}'}"]) from None


def _short(error: object) -> str:
    """An error's message on one line."""
    return shown(" ".join(str(error).split()))
