import pytest
from hypothesis import given, strategies as st

from mailbearer.observe import maillog, metrics
from mailbearer.observe.maillog import Verb


def value(line: str) -> float:
    for each in metrics.render().decode().splitlines():
        if each.startswith(f"{line} "):
            return float(each.rpartition(" ")[2])
    return 0.0


def test_mail_log_counts_what_it_writes() -> None:
    before = value('mailbearer_messages_total{verb="Accepted"}')
    maillog.record(Verb.ACCEPTED, "a1")
    assert value('mailbearer_messages_total{verb="Accepted"}') == before + 1


def test_gauges_forget_what_is_left_out() -> None:
    metrics.set_queue({"Waiting": 3, "Held": 1})
    metrics.set_queue({"Waiting": 2})
    metrics.set_tokens({"Retrieved": 4})
    assert value('mailbearer_queue_messages{state="Waiting"}') == 2
    assert value('mailbearer_queue_messages{state="Held"}') == 0
    assert value('mailbearer_tokens{status="Retrieved"}') == 4


def test_looks_and_renewals_are_counted() -> None:
    polls, items = value('mailbearer_polls_total{outcome="ok"}'), value("mailbearer_received_items_total")
    renewals = value('mailbearer_renewals_total{outcome="renewed"}')
    metrics.count_poll("ok", received=3)
    metrics.count_renewal("renewed")
    assert value('mailbearer_polls_total{outcome="ok"}') == polls + 1
    assert value("mailbearer_received_items_total") == items + 3
    assert value('mailbearer_renewals_total{outcome="renewed"}') == renewals + 1


def test_every_metric_has_a_sentence() -> None:
    helps = [line for line in metrics.render().decode().splitlines() if line.startswith("# HELP mailbearer_")]
    assert len(helps) >= 6
    assert all(line.endswith(".") for line in helps)
    assert b"_created" not in metrics.render()


def test_what_happens_to_messages_is_counted_from_the_start() -> None:
    metrics.begin_messages(maillog.Verb)
    assert {value(f'mailbearer_messages_total{{verb="{verb}"}}') >= 0 for verb in maillog.Verb} == {True}


@given(st.text(max_size=100))
def test_mail_log_line_is_one_line(text: str) -> None:
    said = maillog.line(Verb.FAILED, "a1", reply=text, code="", next_try=None)
    assert len(said.splitlines()) == 1
    assert said.isprintable()


@pytest.mark.parametrize(("text", "said"), [("250 OK", 'a1 Failed reply="250 OK"'), ("x", "a1 Failed reply=x")])
def test_value_with_blanks_stands_in_quotation_marks(text: str, said: str) -> None:
    assert maillog.line(Verb.FAILED, "a1", reply=text) == said
