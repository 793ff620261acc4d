"""Which ways to a token a provider allows for mail, and what is asked for on them."""

from collections.abc import Iterable, Mapping

from mailbearer.model.grant import Flow
from mailbearer.model.provider import FlowAdvice, Provider
from mailbearer.model.service import ServiceKind
from mailbearer.providers.quirks import Quirk


def offered(provider: Provider) -> tuple[FlowAdvice, ...]:
    """Return the ways that may be used for mail, best first."""
    return tuple(advice for advice in provider.flows if provider.oauth and advice.allowed)


def advice_on(provider: Provider, flow: Flow) -> FlowAdvice:
    """Return what the catalogue says about ``flow``; what it does not mention is not allowed."""
    for advice in provider.flows:
        if advice.flow is flow:
            return advice
    return FlowAdvice(flow, allowed=False, warning="The provider does not have it.")


def wanted_scopes(provider: Provider, kind: ServiceKind) -> tuple[str, ...]:
    """Return the scopes to ask for: mail, renewal, and who signed in."""
    return tuple(dict.fromkeys((*provider.scopes[kind], *provider.refresh_scopes, *provider.identity_scopes)))


def missing_scopes(provider: Provider, asked: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """Return what was asked for and not granted.

    An empty ``granted`` means: as asked (RFC 6749 section 5.1). Scopes that the provider leaves out of its answer
    though it grants them do not count (quirk ``granted-scope-omits``); letters may differ in case (Microsoft).
    """
    got = {scope.casefold() for scope in granted}
    ignored = {scope.casefold() for scope in provider.ignored_scopes}
    if not got:
        return ()
    return tuple(scope for scope in asked if scope.casefold() not in got | ignored)


def authorization_parameters(provider: Provider, account: str) -> Mapping[str, str]:
    """Return the extra parameters of the authorization request, with the account filled in where that is taken."""
    if account and Quirk.LOGIN_HINT in provider.quirks:
        return {**provider.authorization_parameters, "login_hint": account}
    return provider.authorization_parameters
