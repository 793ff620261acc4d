"""Mail exchangers of a domain (RFC 5321 section 5.1), on dnspython; used to find out whose servers a domain uses."""

from mailbearer.errors import ConnectError

MX_MAX = 32  # hosts; real domains have fewer than ten


async def mail_exchangers(domain: str, *, seconds: float, nameserver: tuple[str, int] | None = None) -> tuple[str, ...]:
    """Return the names of the mail exchangers of ``domain``, best first; none when it has none.

    Args:
        domain: an internationalized name is allowed.
        seconds: how long it may take in all.
        nameserver: address and port of the name server to ask instead of the machine's own.

    Raises:
        ConnectError: MB-S02, names cannot be looked up now.
    """
    import dns.asyncresolver  # noqa: PLC0415 - 30 ms that only this question costs
    import dns.exception  # noqa: PLC0415 - as above
    import dns.resolver  # noqa: PLC0415 - as above

    try:
        resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
        if nameserver is not None:
            resolver.nameservers, resolver.port = [nameserver[0]], nameserver[1]
        answer = await resolver.resolve(domain, "MX", lifetime=seconds, raise_on_no_answer=False)
    except (dns.resolver.NXDOMAIN, UnicodeError, dns.exception.SyntaxError):
        return ()
    except dns.exception.DNSException as error:
        raise ConnectError("MB-S02", host=domain) from error
    found = sorted((int(record.preference), record.exchange.to_text(omit_final_dot=True)) for record in answer)
    return tuple(name.lower() for _, name in found if name)[:MX_MAX]
