from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, GrantRefusedError, Refusal
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Provider
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.diagnosis import Layer, Phase, Status, Verdict, read_mail_refusal, read_refusal
from mailbearer.providers.rules import Rule, load_rules

CATALOGUE = load_catalogue()
MICROSOFT, GOOGLE, YAHOO = (CATALOGUE.get(name) for name in ("microsoft365", "google", "yahoo"))
DOVECOT = CATALOGUE.get("dovecot-oidc")
SAMPLE = {"microsoft": MICROSOFT, "google": GOOGLE, "*": YAHOO}
OF_RENEWAL = {"MB-T07", "MB-T08", "MB-T09", "MB-T30", "MB-T39"}


def refused(refusal: Refusal, provider: Provider, phase: Phase = "refresh", *, held: bool = True) -> Verdict:
    error = AuthorizationError("MB-T99", refusal=refusal)
    return read_refusal(error, provider=provider, phase=phase, token_held=held, account="ada@example.com")


def numbered(number: int, phase: Phase = "refresh", *, held: bool = True) -> Verdict:
    return refused(Refusal(error="invalid_grant", status=400, numbers=(number,)), MICROSOFT, phase, held=held)


def provider_of(rule: Rule) -> Provider:
    return SAMPLE.get(rule.provider) or CATALOGUE.get(rule.provider)


def phase_of(rule: Rule) -> Phase:
    for phase in get_args(Phase):
        if phase == rule.phase:
            return phase  # type: ignore[no-any-return]  # get_args knows no types
    return "refresh" if rule.status != "not-retrieved" else "code"


def answers_of(rule: Rule) -> list[Refusal]:
    """Return an answer for each error word and each number of the rule."""
    said = rule.says.pattern.partition("|")[0] if rule.says else ""
    words = rule.error or (("invalid_grant",) if rule.numbers else ("",))
    return [
        Refusal(
            error=word,
            status=http,
            numbers=(number,) if number else (),
            subtype=rule.subtype,
            description=f"{said}, says the provider",
        )
        for word in words
        for number in rule.numbers or (0,)
        for http in rule.http or (400,)
    ]


TOKEN_CASES = [(rule, refusal) for rule in load_rules() if rule.layer == "token" for refusal in answers_of(rule)]
MAIL_RULES = [rule for rule in load_rules() if rule.layer in get_args(Layer)]


def layer_of(rule: Rule) -> Layer:
    match rule.layer:
        case "smtp" | "pop" | "imap":
            return rule.layer
        case _:
            raise AssertionError(rule.layer)


def expected_code(rule: Rule, refusal: Refusal) -> str:
    for number in refusal.numbers:
        if str(number) in rule.codes:
            return rule.codes[str(number)]
    if phase_of(rule) == "device" and rule.code_on_device:
        return rule.code_on_device
    return rule.codes.get(refusal.error, rule.code)


@pytest.mark.parametrize(("rule", "refusal"), TOKEN_CASES, ids=lambda case: getattr(case, "code", None))
def test_every_rule_of_the_token_endpoint_answers_to_its_refusal(rule: Rule, refusal: Refusal) -> None:
    verdict = refused(refusal, provider_of(rule), phase_of(rule), held=False)
    assert verdict.code == expected_code(rule, refusal)
    assert verdict.action == rule.action
    assert verdict.class_ == rule.class_


@pytest.mark.parametrize("rule", [rule for rule in load_rules() if rule.layer == "token"], ids=lambda rule: rule.code)
def test_every_rule_gives_its_status_to_a_renewal_and_leaves_a_held_token_alone_otherwise(rule: Rule) -> None:
    for refusal in answers_of(rule):
        verdict = refused(refusal, provider_of(rule), phase_of(rule))
        match phase_of(rule), rule.status, rule.class_:
            case "refresh", "invalid" | "unchanged", _:
                assert verdict.status == rule.status
            case "refresh", _, _:
                assert verdict.status == "unchanged"
            case _, _, "pending" | "transient":
                assert verdict.status == "waiting"
            case _:
                assert verdict.status == "unchanged"


@pytest.mark.parametrize("rule", MAIL_RULES, ids=lambda rule: f"{rule.provider}-{rule.code}")
@pytest.mark.parametrize("fresh", [False, True])
def test_every_rule_of_the_mail_servers_answers_to_its_reply(rule: Rule, *, fresh: bool) -> None:
    verdict = read_mail_refusal(layer_of(rule), rule.example, "", provider=provider_of(rule), fresh=fresh)
    assert (verdict.code, verdict.action) == (rule.code, rule.action)
    assert verdict.status == (rule.second_time if fresh and rule.second_time else rule.status)


@pytest.mark.parametrize(
    ("word", "code", "status"),
    [
        ("401", "MB-S13", "invalid"),
        ("invalid_token", "MB-S13", "invalid"),
        ("400", "MB-S13", "invalid"),
        ("invalid_request", "MB-S13", "invalid"),
        ("403", "MB-S37", "invalid"),
        ("insufficient_scope", "MB-S37", "invalid"),
    ],
)
def test_every_word_of_a_challenge_is_understood(word: str, code: str, status: str) -> None:
    verdict = read_mail_refusal(
        "smtp", "535 5.7.8 no", f'{{"status": "{word}"}}', provider=DOVECOT, fresh=True, account="ada@example.com"
    )
    assert (verdict.code, verdict.status) == (code, status)


def test_a_refused_token_is_renewed_once_before_it_is_invalid() -> None:
    verdict = read_mail_refusal("smtp", "535 5.7.3 Authentication unsuccessful", "", provider=MICROSOFT, fresh=False)
    assert (verdict.status, verdict.action) == ("unchanged", "force_refresh_once_then_test")


def test_a_switched_off_mailbox_leaves_the_token_alone_also_the_second_time() -> None:
    reply = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."
    verdict = read_mail_refusal("smtp", reply, "", provider=MICROSOFT, fresh=True)
    assert (verdict.code, verdict.status, verdict.fields["where"]) == ("MB-S12", "unchanged", "mailbox")


def test_the_daily_limit_holds_mail_though_the_reply_is_permanent() -> None:
    reply = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"
    verdict = read_mail_refusal("smtp", reply, "", provider=MICROSOFT, fresh=False)
    assert (verdict.class_, verdict.wait) == ("quota", timedelta(days=1))


def test_a_named_permission_in_the_challenge_is_more_exact_than_the_reply() -> None:
    verdict = read_mail_refusal("smtp", "535 5.7.8 no", '{"status": 403}', provider=GOOGLE, fresh=False)
    assert verdict.code == "MB-S37"
    assert verdict.fields["protocol"] == "SMTP"


def test_the_providers_own_reply_is_more_exact_than_a_plain_challenge() -> None:
    verdict = read_mail_refusal("smtp", "534 5.7.14 sign in", '{"status": "401"}', provider=GOOGLE, fresh=False)
    assert verdict.code == "MB-S38"


def test_a_challenge_is_told_of_pop_in_pops_words() -> None:
    assert read_mail_refusal("pop", "-ERR no", '{"status": "401"}', provider=YAHOO, fresh=False).code == "MB-P23"


def test_a_reply_of_several_lines_is_one_text() -> None:
    verdict = read_mail_refusal("smtp", "535-5.7.8 Username\r\n and Password", "", provider=GOOGLE, fresh=False)
    assert verdict.fields["reply"] == "535-5.7.8 Username and Password"


@pytest.mark.parametrize(("layer", "code"), [("smtp", "MB-S17"), ("pop", "MB-P23")])
def test_a_reply_that_nobody_knows_is_tried_again(layer: Layer, code: str) -> None:
    verdict = read_mail_refusal(layer, "what?", "", provider=YAHOO, fresh=True)
    assert (verdict.code, verdict.status, verdict.action) == (code, "unchanged", "retry_backoff")


def test_the_time_that_a_server_names_is_kept() -> None:
    verdict = read_mail_refusal("pop", "-ERR [LOGIN-DELAY] too soon", "", provider=YAHOO, fresh=False)
    assert verdict.wait == timedelta(minutes=15)
    assert verdict.fields["minutes"] == "15"


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (50173, "MB-T07", "invalid"),
        (700082, "MB-T08", "invalid"),
        (50057, "MB-T11", "invalid"),
        (50076, "MB-T12", "invalid"),
        (53003, "MB-T36", "invalid"),
        (530036, "MB-T39", "invalid"),
        (70043, "MB-T30", "invalid"),
        (65001, "MB-T05", "invalid"),
        (700016, "MB-T13", "unchanged"),
        (7000112, "MB-T32", "unchanged"),
        (7000215, "MB-T14", "unchanged"),
        (7000222, "MB-T15", "unchanged"),
        (700025, "MB-T59", "unchanged"),
        (50196, "MB-T38", "unchanged"),
        (90033, "MB-T24", "unchanged"),
        (50020, "MB-T22", "unchanged"),
    ],
)
def test_a_renewal_that_microsoft_refuses_gets_the_finest_words(number: int, code: str, status: Status) -> None:
    verdict = numbered(number)
    assert (verdict.code, verdict.status) == (code, status)


def test_a_policy_against_codes_is_told_as_such_while_a_code_is_out() -> None:
    verdict = numbered(53003, "device", held=False)
    assert (verdict.code, verdict.status) == ("MB-T04", "not-retrieved")


@pytest.mark.parametrize("phase", ["device", "code"])
@pytest.mark.parametrize("number", [50173, 700082, 70043, 530036, 50057, 53003])
def test_a_refused_sign_in_never_speaks_of_the_held_token(number: int, phase: Phase) -> None:
    verdict = numbered(number, phase)
    assert verdict.code not in OF_RENEWAL
    assert verdict.status == "unchanged"
    assert numbered(number, phase, held=False).status == "not-retrieved"


def test_a_login_that_is_wanted_again_during_a_sign_in_means_it_was_not_finished() -> None:
    assert refused(Refusal(error="login_required", status=400), YAHOO, "code", held=False).code == "MB-T60"


def test_an_unknown_number_is_told_by_the_word_beside_it() -> None:
    verdict = numbered(123456)
    assert (verdict.code, verdict.status) == ("MB-T07", "invalid")
    assert verdict.fields["word"] == "AADSTS123456"


def test_an_unknown_answer_changes_nothing_and_is_quoted() -> None:
    verdict = refused(Refusal(error="teapot", status=400, description="I am one"), YAHOO)
    assert (verdict.code, verdict.status, verdict.class_) == ("MB-T99", "unchanged", "unknown")
    assert (verdict.fields["word"], verdict.fields["text"]) == ("teapot", "I am one")


def test_a_number_of_microsoft_means_nothing_at_other_providers() -> None:
    assert refused(Refusal(error="invalid_client", status=401, numbers=(50173,)), YAHOO).code == "MB-T14"


def test_google_refuses_without_a_reason() -> None:
    assert refused(Refusal(error="invalid_grant", status=400), GOOGLE).code == "MB-T09"


@pytest.mark.parametrize(("days", "code"), [(6.4, "MB-T09"), (7, "MB-T10"), (7.6, "MB-T09")])
def test_a_google_token_that_dies_after_a_week_points_to_a_project_in_testing(days: float, code: str) -> None:
    verdict = read_refusal(
        GrantRefusedError(refusal=Refusal(error="invalid_grant", status=400)),
        provider=GOOGLE,
        phase="refresh",
        token_held=True,
        account="ada@example.com",
        flow=Flow.CODE,
        age=timedelta(days=days),
    )
    assert (verdict.code, verdict.fields["flow"]) == (code, "code")


@pytest.mark.parametrize(("phase", "status"), [("refresh", "unchanged"), ("code", "waiting"), ("device", "waiting")])
def test_an_outage_leaves_everything_as_it_is(phase: Phase, status: Status) -> None:
    error = AuthorizationUnavailableError(
        "MB-T44", refusal=Refusal(status=503, retry_after=30.0), host="id.example.com"
    )
    verdict = read_refusal(error, provider=YAHOO, phase=phase, token_held=False, account="")
    assert (verdict.code, verdict.status, verdict.passing) == ("MB-T44", status, True)
    assert verdict.wait == timedelta(seconds=30)
    assert verdict.fields["host"] == "id.example.com"


def test_an_answer_that_is_no_answer_is_tried_again() -> None:
    error = AuthorizationUnavailableError("MB-T44", refusal=Refusal(status=200))
    verdict = read_refusal(error, provider=YAHOO, phase="refresh", token_held=True, account="")
    assert (verdict.code, verdict.action, verdict.wait) == ("MB-T44", "retry_backoff", None)


def test_a_time_in_milliseconds_is_understood() -> None:
    reply = "BAD Request is throttled. Suggested Backoff Time: 201317 milliseconds"
    verdict = read_mail_refusal("imap", reply, "", provider=MICROSOFT, fresh=False)
    assert verdict.wait == timedelta(milliseconds=201_317)
    assert verdict.fields["minutes"] == "3"


def test_a_request_to_wait_without_a_time_is_just_that() -> None:
    verdict = read_mail_refusal("imap", "BAD Request is throttled.", "", provider=MICROSOFT, fresh=False)
    assert (verdict.class_, verdict.wait) == ("throttle", None)


def test_how_long_an_unused_token_lives_is_known() -> None:
    assert numbered(700082).fields["days"] == "90"
    assert "days" not in refused(Refusal(error="invalid_grant"), YAHOO).fields


@given(
    st.builds(
        Refusal,
        error=st.text(max_size=20) | st.sampled_from(["invalid_grant", "invalid_client", "access_denied"]),
        status=st.integers(0, 599),
        numbers=st.lists(st.integers(10_000, 9_999_999), max_size=3).map(tuple),
        description=st.text(max_size=60),
    ),
    st.sampled_from(CATALOGUE.all()),
    st.sampled_from(["device", "code", "refresh"]),
    st.booleans(),
)
def test_any_refusal_gets_a_verdict_and_only_a_renewal_makes_invalid(
    refusal: Refusal,
    provider: Provider,
    phase: Phase,
    held: bool,
) -> None:
    verdict = refused(refusal, provider, phase, held=held)
    assert verdict.status != "invalid" or phase == "refresh"
    assert verdict.status != "not-retrieved" or not held
    assert verdict.action


@given(
    st.sampled_from(["smtp", "pop"]),
    st.text(max_size=80),
    st.text(max_size=80),
    st.sampled_from(CATALOGUE.all()),
)
def test_any_reply_gets_a_verdict(layer: Layer, reply: str, challenge: str, provider: Provider) -> None:
    verdict = read_mail_refusal(layer, reply, challenge, provider=provider, fresh=True)
    assert verdict.status in {"unchanged", "invalid"}
    assert verdict.action
