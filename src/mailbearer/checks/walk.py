"""One run of the Connection Test.

It goes the way of real mail, with the same sessions, the same rules for tokens and the same single forced renewal, so
that its verdict is true of real mail too. It never sends, fetches or deletes any.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from mailbearer.checks.verdict import diagnosis_of, said
from mailbearer.checks.visit import PopVisit, SmtpVisit, StepName, Subject, Visit
from mailbearer.clock import Clock
from mailbearer.errors import InvalidInputError, MailbearerError
from mailbearer.model.check import CheckReport, Diagnosis, Step
from mailbearer.model.http import HttpRequest
from mailbearer.model.service import AuthMethod, ServiceKind
from mailbearer.net.route import Route, routes_of
from mailbearer.providers.endpoints import resolve
from mailbearer.tokens.admission import admitted
from mailbearer.tokens.context import Http
from mailbearer.tokens.source import AccessToken, TokenSource

CLOCK_TOLERANCE = timedelta(minutes=5)  # beyond it, tokens and certificates of others look wrong (MB-T23)
NOT_RUN = "Not run"
_NOT_NEEDED = {AuthMethod.NONE: "Not needed without sign-in", AuthMethod.PASSWORD: "Not needed with a password"}


class Walk:
    """Runs the steps once; ``report`` afterwards tells what came of it."""

    def __init__(self, subject: Subject, tokens: TokenSource, http: Http, clock: Clock) -> None:
        self._subject = subject
        self._tokens = tokens
        self._http = http
        self._clock = clock
        self._steps: list[Step] = []
        self._diagnoses: list[Diagnosis] = []
        self._stopped = False
        self._visit = self._visit_to(Route("", 0, subject.service.settings.tls))
        self._access: AccessToken | None = None

    async def steps(self) -> AsyncGenerator[Step]:
        """Give each step as it ends; after the first failure the rest are told as not run."""
        yield await self._step(StepName.CLOCK, self._compare_clocks)
        async for step in self._arrive():
            yield step
        for name, act in self._at_the_server().items():
            if not self._stopped:
                yield await self._step(name, act)
        for left in self._left():
            self._steps.append(Step(left, None, 0.0, NOT_RUN))
            yield self._steps[-1]

    def report(self) -> CheckReport:
        """Return the whole test. It is ``ok`` when every step of every server passed."""
        diagnosis = self._diagnoses[0] if self._diagnoses else None
        host = self._visit.route.host
        if diagnosis and not self._stopped:
            told = f" The Secondary Server {host} passed every step; mail goes out through it."
            diagnosis = replace(diagnosis, action=diagnosis.action + told)
        elif diagnosis and len(self._diagnoses) > 1:
            second = self._diagnoses[1]
            told = f" The Secondary Server {host} was tried too: {second.text} ({second.code})"
            diagnosis = replace(diagnosis, action=diagnosis.action + told)
        return CheckReport(self._subject.service.id, diagnosis is None, tuple(self._steps), diagnosis)

    async def close(self) -> None:
        """End what is still open."""
        await self._visit.close()

    async def _arrive(self) -> AsyncGenerator[Step]:
        """Reach the Primary Server, or where that cannot be done the Secondary Server."""
        if self._stopped:
            return
        registration = self._subject.registration
        routes = routes_of(self._subject.service, registration.ca_file if registration else "")
        if not routes or not self._subject.service.settings.port:
            yield await self._step(StepName.NAME, self._miss_the_server)
        for route in routes:
            self._stopped = False
            await self._visit.close()
            self._visit = self._visit_to(route)
            prefix = "" if route is routes[0] else f"Secondary Server {route.host}: "
            for name, act in self._visit.arrival().items():
                yield await self._step(name, act, prefix)
                if self._stopped:
                    break
            else:
                return

    async def _step(self, name: StepName, act: Callable[[], Awaitable[str]], prefix: str = "") -> Step:
        begun = self._clock.monotonic()
        try:
            detail, passed = await act(), True
        except MailbearerError as error:
            self._stopped, passed = True, False
            token = self._access.token if self._access else None
            self._diagnoses.append(diagnosis_of(error, self._subject, self._visit.route, token))
            detail = said(error, token) or self._diagnoses[-1].text
        took = (self._clock.monotonic() - begun) * 1000
        self._steps.append(Step(name, passed, took, prefix + detail))
        return self._steps[-1]

    def _left(self) -> list[str]:
        """Return the steps that come after the one that failed."""
        if not self._stopped:
            return []
        order = [StepName.CLOCK, *self._visit.arrival(), *self._at_the_server()]
        return [str(name) for name in order[order.index(StepName(self._steps[-1].name)) + 1 :]]

    def _at_the_server(self) -> dict[StepName, Callable[[], Awaitable[str]]]:
        return {StepName.TOKEN: self._get_token, StepName.SIGN_IN: self._sign_in, StepName.MAILBOX: self._look_inside}

    def _visit_to(self, route: Route) -> Visit:
        kind = SmtpVisit if self._subject.service.kind is ServiceKind.SMTP else PopVisit
        return kind(self._subject, route, self._clock)

    async def _miss_the_server(self) -> str:
        raise InvalidInputError("MB-W30", service=self._subject.service.id)

    async def _compare_clocks(self) -> str:
        """Hold this machine's clock against the token endpoint's Date; where that says nothing, others will."""
        provider, registration = self._subject.provider, self._subject.registration
        if not (self._subject.oauth and provider and registration):
            return "Not compared: no provider to ask"
        try:
            url = resolve(provider, registration).token
            answer = await self._http.send(HttpRequest("GET", url), ca_file=registration.ca_file)
        except MailbearerError as error:
            return f"Not compared: {error.message}"
        theirs = _date(answer.headers.get("date", ""))
        if theirs is None:
            return "Not compared: the provider does not tell the time"
        offset = abs(self._clock.now() - theirs)
        if offset > CLOCK_TOLERANCE:
            raise InvalidInputError("MB-T23", offset=_duration(offset))
        return f"Within {max(1, round(offset.total_seconds()))} s of the provider's"

    async def _get_token(self) -> str:
        if not self._subject.oauth:
            return _NOT_NEEDED[self._subject.service.settings.auth]
        if self._subject.provider is None:
            raise InvalidInputError("MB-W05", field="Provider", problem="choose one; OAuth 2.0 needs it")
        self._access = await self._tokens.access_token(self._subject.service.id, server=self._visit.route.host)
        return f"Good for {_duration(self._access.expires_at - self._clock.now())}"

    async def _sign_in(self) -> str:
        provider = self._subject.provider
        if self._subject.service.settings.auth is AuthMethod.NONE:
            return _NOT_NEEDED[AuthMethod.NONE]
        if not self._subject.oauth or provider is None:
            return await self._visit.sign_in(None)
        refused: list[AccessToken] = []

        async def attempt(access: AccessToken) -> str:
            self._access = access
            if refused:
                await self._come_again()
            refused.append(access)
            return await self._visit.sign_in(access)

        service, server = self._subject.service, self._visit.route.host
        found = await admitted(
            self._tokens, service, server=server, provider=provider, clock=self._clock, attempt=attempt
        )
        return found if len(refused) == 1 else f"{found}, after the token was renewed"

    async def _come_again(self) -> None:
        """Reach the same server on a new connection: one that refused a sign-in is not asked twice."""
        await self._visit.close()
        self._visit = self._visit_to(self._visit.route)
        for act in self._visit.arrival().values():
            await act()

    async def _look_inside(self) -> str:
        return await self._visit.mailbox()


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
