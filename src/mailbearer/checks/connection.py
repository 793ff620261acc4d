"""The Connection Test (SPEC M14): the whole way of a service, step by step, to the first step that fails."""

from collections.abc import AsyncGenerator

from mailbearer.checks.visit import Subject
from mailbearer.checks.walk import Walk
from mailbearer.clock import Clock
from mailbearer.model.check import CheckReport, Step
from mailbearer.model.service import ServiceId
from mailbearer.tokens.admission import Sources
from mailbearer.tokens.context import Http


class Checker:
    """Tests services. ``hello_name`` is how this machine introduces itself to mail servers."""

    def __init__(self, sources: Sources, http: Http, clock: Clock, *, hello_name: str) -> None:
        self._sources = sources
        self._http = http
        self._clock = clock
        self._hello_name = hello_name

    async def check(self, identity: ServiceId) -> AsyncGenerator[Step | CheckReport]:
        """Give each step as it ends, and the whole report at last.

        Raises:
            NotFoundError: there is no such service.
        """
        service = await self._sources.service_of(identity)
        provider, registration = None, None
        if service.settings.provider:
            provider, registration = await self._sources.provider_of(service.settings.provider)
        subject = Subject(service, provider, registration, self._hello_name)
        walk = Walk(subject, self._sources.tokens, self._http, self._clock)
        try:
            async for step in walk.steps():
                yield step
            yield walk.report()
        finally:
            await walk.close()
