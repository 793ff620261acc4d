import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.smtp.paths import Path, read_path


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (b"FROM:<a@b.example>", Path("a@b.example", {})),
        (b"from: <a@b.example> size=10 BODY=8BITMIME", Path("a@b.example", {"SIZE": "10", "BODY": "8BITMIME"})),
        (b"FROM:<>", Path("", {})),
        (b"FROM:a@b.example  SMTPUTF8", Path("a@b.example", {"SMTPUTF8": ""})),
        (b"FROM:<@relay.example,@other.example:a@b.example>", Path("a@b.example", {})),
        (b'FROM:<"a>b <c"@b.example>', Path('"a>b <c"@b.example', {})),
        ("FROM:<jürgen@b.example>".encode(), Path("jürgen@b.example", {})),
    ],
)
def test_a_path_is_read_as_servers_must_and_devices_write_it(argument: bytes, path: Path) -> None:
    assert read_path(argument, b"FROM") == path


@pytest.mark.parametrize(
    "argument",
    [
        b"", b"FROM", b"FROM:", b"TO:<a@b.example>", b"FROM:<a@b.example", b"FROM:a@b.example>", b"FROM:<a><b>",
        b"FROM:<a@b.example>SIZE=1", b"FROM:<a@b.example> =1", b"FROM:<a@b.example> SIZE=\x01",
        b"FROM:<\xff@b.example>", b'FROM:<"a@b.example>', b"FROM:<a@b.example> SIZE=1=2",
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(argument: bytes) -> None:
    assert read_path(argument, b"FROM") is None


@given(st.binary(max_size=80), st.sampled_from([b"FROM", b"TO"]))
def test_any_bytes_are_a_path_or_not(argument: bytes, keyword: bytes) -> None:
    path = read_path(keyword + b":" + argument, keyword)
    assert path is None or len(path.address) <= len(argument)


@pytest.mark.parametrize("filler", [b'"', b"\\", b'"\\', b" ", b"@", b"<", b"a", b'""', b"@a:"])
def test_a_long_line_is_read_in_no_time(filler: bytes) -> None:
    assert read_path(b"FROM:<" + filler * 2048 + b">x", b"FROM") is None
