"""M3: the SMTP service stands in four places and is one record."""

from tests.flows.house import House, held, listed

PLACES = [
    "Network Settings › Service Settings › SMTP",
    "System Control › E-mail Alert and Status › SMTP",
    "Network Settings › Quick Settings",
    "Initial Installation › Network Quick Settings",
]


async def test_m03_four_places_show_one_record(house: House) -> None:
    await house.get_token()
    services = listed(await house.do("service.list"), "services")
    (smtp,) = [each for each in services if each["id"] == "smtp"]
    assert smtp["places"] == PLACES
    assert held(smtp, "token") == await house.token()
    await house.do("token.delete", service="smtp")
    (smtp,) = [each for each in listed(await house.do("service.list"), "services") if each["id"] == "smtp"]
    assert held(smtp, "token")["status"] == "Not Retrieved"
