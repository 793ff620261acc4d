import json

import pytest

from mailbearer import sentences
from mailbearer.errors import InvalidInputError
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.rules import Rule, load_rules, read_rules

ROW: dict[str, object] = {
    "layer": "smtp",
    "provider": "*",
    "says": "^535",
    "status": "invalid",
    "class": "account",
    "action": "reauthorise",
    "code": "MB-S13",
    "certainty": "M",
}
FAMILIES = {provider.family for provider in load_catalogue().all()}
IDS = {provider.id for provider in load_catalogue().all()}


def names(rule: Rule) -> str:
    return f"{rule.layer}-{rule.provider}-{rule.code}"


@pytest.mark.parametrize("rule", load_rules(), ids=names)
def test_every_code_of_a_rule_has_a_sentence(rule: Rule) -> None:
    assert {rule.code, *rule.codes.values()} <= set(sentences.SENTENCES)
    assert not rule.code_on_device or rule.code_on_device in sentences.SENTENCES


@pytest.mark.parametrize("rule", load_rules(), ids=names)
def test_every_rule_is_for_a_provider_that_exists(rule: Rule) -> None:
    assert rule.provider in FAMILIES | IDS | {"*"}


@pytest.mark.parametrize("rule", [rule for rule in load_rules() if rule.says and rule.layer != "token"], ids=names)
def test_every_reply_pattern_fits_its_example(rule: Rule) -> None:
    assert rule.says is not None
    assert rule.says.search(rule.example)


def test_no_row_is_lost() -> None:
    assert len(load_rules()) >= 90


def test_every_field_that_a_rule_fills_is_shown() -> None:
    for rule in load_rules():
        shown = {name for code in (rule.code, *rule.codes.values()) for name in sentences.fields_of(code)}
        assert set(rule.fields) <= shown, rule


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"layer": "fax"}, "layer"),
        ({"status": "gone"}, "status"),
        ({"phase": "later"}, "phase"),
        ({"says": "("}, "says"),
        ({"code": 7}, "code"),
        ({"numbers": ["70008"]}, "numbers"),
        ({"aadsts": [70008]}, "aadsts"),
        ({"wait_unit": "s"}, "wait_unit"),
    ],
)
def test_a_mistake_in_a_row_is_told_with_row_and_field(members: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_rules(json.dumps([ROW, {**ROW, **members}]))
    assert f"error rule 2: {field}" in str(caught.value)
