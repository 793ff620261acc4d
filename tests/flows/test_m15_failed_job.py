"""M15: a failed job names the service and the reason, and points to the Connection Test."""

from tests.flows.house import BOB, House, text


async def test_m15_failed_job_says_why_and_what_to_do(house: House) -> None:
    await house.get_token()
    house.world.fault("smtp/rcpt", body="550 5.1.1 no such mailbox")
    sent = await house.send(BOB)
    assert (sent["state"], sent["service"], sent["code"]) == ("Failed", "smtp", "MB-S18")
    assert "550 5.1.1 no such mailbox" in text(sent, "reply")
    assert text(sent, "reason")
    shown = (await house.run("queue", "show", text(sent, "id"))).out
    assert all(word in shown for word in ("Failed", "smtp", "MB-S18", "550 5.1.1", "mailbearer service test smtp"))


async def test_m15_held_job_points_to_the_connection_test(house: House) -> None:
    sent = await house.send(BOB)
    shown = (await house.run("queue", "show", text(sent, "id"))).out
    assert all(word in shown for word in ("Held", "MB-T54", "mailbearer service test smtp"))
