import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import VaultError
from mailbearer.model.secret import Secret
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault

KEY = MasterKey(bytes(range(32)), "/etc/first.key")
OTHER_KEY = MasterKey(bytes(range(1, 33)), "/etc/other.key")
VAULT = Vault(KEY)
PLACE = "grants/smtp/tokens/7"


def refusal_of(vault: Vault, sealed: bytes, place: str = PLACE) -> str:
    with pytest.raises(VaultError) as caught:
        vault.open(sealed, place=place)
    return caught.value.code


@given(st.text(st.characters(codec=None)), st.text())
def test_what_is_sealed_opens_in_its_place(text: str, place: str) -> None:
    assert VAULT.open(VAULT.seal(Secret(text), place=place), place=place) == Secret(text)


@given(st.text(max_size=40), st.integers(min_value=0))
def test_any_flipped_bit_keeps_it_shut(text: str, bit: int) -> None:
    sealed = bytearray(VAULT.seal(Secret(text), place=PLACE))
    bit %= len(sealed) * 8
    sealed[bit // 8] ^= 1 << bit % 8
    assert refusal_of(VAULT, bytes(sealed)) == "MB-T26"


def test_each_single_bit_of_one_value_is_guarded() -> None:
    whole = VAULT.seal(Secret("token"), place=PLACE)
    for bit in range(len(whole) * 8):
        sealed = bytearray(whole)
        sealed[bit // 8] ^= 1 << bit % 8
        assert refusal_of(VAULT, bytes(sealed)) == "MB-T26"


@given(st.integers(0, 200))
def test_a_value_that_was_cut_stays_shut(length: int) -> None:
    sealed = VAULT.seal(Secret("x" * 64), place=PLACE)
    assert refusal_of(VAULT, sealed[: min(length, len(sealed) - 1)]) == "MB-T26"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_our_error(octets: bytes) -> None:
    assert refusal_of(VAULT, octets) == "MB-T26"


@given(st.text(max_size=30).filter(lambda place: place != PLACE))
def test_a_value_does_not_open_in_another_place(place: str) -> None:
    assert refusal_of(VAULT, VAULT.seal(Secret("token"), place=PLACE), place) == "MB-T26"


def test_halves_of_two_values_do_not_fit_together() -> None:
    one, other = (VAULT.seal(Secret(text), place=PLACE) for text in ("first!", "second"))
    assert refusal_of(VAULT, one[:69] + other[69:]) == "MB-T26"


def test_another_key_does_not_open_it() -> None:
    assert refusal_of(Vault(OTHER_KEY), VAULT.seal(Secret("token"), place=PLACE)) == "MB-T26"


def test_the_same_secret_never_looks_the_same_twice() -> None:
    assert len({VAULT.seal(Secret("token"), place=PLACE) for _ in range(100)}) == 100


def test_nothing_of_the_secret_can_be_seen() -> None:
    assert b"refresh-token" not in VAULT.seal(Secret("refresh-token" * 10), place=PLACE)


def test_an_old_key_still_opens_but_asks_for_rotation() -> None:
    sealed = VAULT.seal(Secret("token"), place=PLACE)
    both = Vault(OTHER_KEY, old=(KEY,))
    assert both.open(sealed, place=PLACE) == Secret("token")
    assert both.needs_rotation(sealed)
    assert not VAULT.needs_rotation(sealed)


def test_after_rewrapping_the_new_key_is_enough() -> None:
    sealed = Vault(OTHER_KEY, old=(KEY,)).rewrap(VAULT.seal(Secret("token"), place=PLACE))
    alone = Vault(OTHER_KEY)
    assert alone.open(sealed, place=PLACE) == Secret("token")
    assert not alone.needs_rotation(sealed)
    assert refusal_of(VAULT, sealed) == "MB-T26"


def test_what_no_key_sealed_is_not_rewrapped() -> None:
    with pytest.raises(VaultError, match="MB-T26"):
        Vault(OTHER_KEY).rewrap(VAULT.seal(Secret("token"), place=PLACE))


def test_the_check_value_knows_its_key() -> None:
    VAULT.verify_check(VAULT.check_value())
    Vault(OTHER_KEY, old=(KEY,)).verify_check(VAULT.check_value())


def test_the_check_value_of_another_key_names_both() -> None:
    with pytest.raises(VaultError) as caught:
        Vault(OTHER_KEY).verify_check(VAULT.check_value())
    assert caught.value.code == "MB-D08"
    assert caught.value.fields == {"path": "/etc/other.key", "found": OTHER_KEY.id.hex(), "wanted": VAULT.key_id}


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" * 200, b"\x01" + KEY.id + bytes(100)])
def test_a_check_value_that_is_none_is_no_other_key(value: bytes) -> None:
    with pytest.raises(VaultError, match="MB-T26"):
        VAULT.verify_check(value)


def test_a_secret_of_a_mebibyte_goes_through() -> None:
    text = "t" * 1024 * 1024
    assert VAULT.open(VAULT.seal(Secret(text), place=PLACE), place=PLACE).reveal() == text
