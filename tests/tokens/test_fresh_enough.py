"""Servers that refuse a token near its end get one that is renewed before its time."""

from datetime import timedelta

from tests.sending.office import SMTP, office


async def test_token_with_too_little_life_is_renewed_before_it_is_shown(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with office(tmp_path) as here:
        await here.get_token()
        tokens = here.sources.tokens
        first = await tokens.access_token(SMTP)
        left = first.expires_at - here.clock.now()
        await here.clock.advance(seconds=(left - timedelta(minutes=12)).total_seconds())
        assert (await tokens.access_token(SMTP, life=timedelta(minutes=11))).token == first.token
        await here.clock.advance(seconds=75)
        assert (await tokens.access_token(SMTP, life=timedelta(minutes=5))).token == first.token
        again = await tokens.access_token(SMTP, life=timedelta(minutes=11))
        assert again.token != first.token
        assert (await tokens.access_token(SMTP)).token == again.token
