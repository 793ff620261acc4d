from hypothesis import given, strategies as st

from mailbearer.control.frames import decode, encode
from mailbearer.errors import MailbearerError


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_our_error(line: bytes) -> None:
    try:
        assert isinstance(decode(line), dict)
    except MailbearerError as error:
        assert error.message


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.integers() | st.text(st.characters(codec="utf-8"), max_size=9),
    )
)
def test_what_was_encoded_is_one_line_and_comes_back(frame: dict[str, int | str]) -> None:
    line = encode({**frame})
    assert line.count(b"\n") == 1
    assert decode(line) == frame
