"""M14: the Connection Test walks the whole way, tells each step with its time, and changes nothing."""

import pytest

from tests.flows.house import ANNA, House, held, listed, text

UPDATE_FAILED = "Token update failed. Please delete the token and obtain it again."
STEPS = ["Clock", "Name", "TCP", "TLS", "Greeting", "Capabilities", "Token", "Sign-in", "Mailbox"]


@pytest.mark.parametrize("service", ["smtp", "pop.internet-fax"])
async def test_m14_every_step_is_told_with_its_time(house: House, service: str) -> None:
    await house.get_token(service)
    house.world.put(ANNA, b"Subject: x\r\n\r\n")
    report = await house.do("service.test", service=service)
    steps = listed(report, "steps")
    assert report["ok"] is True, report
    assert sorted(text(step, "name") for step in steps) == sorted(STEPS)
    assert all(step["ok"] is True and isinstance(step["ms"], float) for step in steps)
    assert house.events == [{"step": step} for step in steps]
    assert len(house.world.mailbox(ANNA)) == 1
    token = text(await house.do("token.access", service=service), "access_token")
    assert token not in str(report)


@pytest.mark.parametrize("service", ["smtp", "pop.internet-fax"])
async def test_m14_token_that_cannot_be_renewed_is_told_to_the_letter(house: House, service: str) -> None:
    await house.get_token(service)
    house.world.revoke(ANNA)
    house.clock.set_forward(hours=2)
    report = await house.do("service.test", service=service)
    assert held(report, "diagnosis")["text"] == UPDATE_FAILED
    shown = await house.run("service", "test", service, code=1)
    assert UPDATE_FAILED in shown.out


@pytest.mark.parametrize(
    ("values", "step", "code"),
    [
        ({"port": "1"}, "TCP", "MB-S03"),
        ({"primary_server": "practice.invalid"}, "Name", "MB-T40"),
        ({"tls": "tls"}, "TLS", "MB-S10"),
    ],
)
async def test_m14_first_failure_is_named_and_the_rest_is_not_run(
    house: House, values: dict[str, str], step: str, code: str
) -> None:
    await house.get_token()
    if code == "MB-T40":
        await house.do("provider.set", provider="practice", values={"hosts": "practice.invalid"})
    await house.do("service.set", service="smtp", values={**values})
    if code == "MB-T40":
        await house.do("provider.set", provider="practice", values={"hosts": ""})
    report = await house.do("service.test", service="smtp")
    told = {text(each, "name"): each["ok"] for each in listed(report, "steps")}
    assert told[step] is False
    assert told["Mailbox"] is None
    diagnosis = held(report, "diagnosis")
    assert diagnosis["code"] == code
    assert text(diagnosis, "text")
    assert not text(diagnosis, "text").startswith("MB-")
