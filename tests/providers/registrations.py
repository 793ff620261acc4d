"""Registrations that fill every placeholder, for the tests of this folder."""

from mailbearer.model.provider import Registration


def registration(provider: str = "x", *, tenant: str = "", extra_hosts: tuple[str, ...] = ()) -> Registration:
    return Registration(
        provider=provider,
        tenant=tenant,
        extra_hosts=extra_hosts,
        values={
            "base": "https://id.example.com/",
            "realm": "office",
            "slug": "mail",
            "region": "eu",
            "issuer": "https://id.example.com/",
        },
    )
