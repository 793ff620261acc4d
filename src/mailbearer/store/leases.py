"""Leases: the right of one process to work on a row for a while; the same for grants and sign-ins."""

from datetime import datetime, timedelta

import apsw

from mailbearer.model.service import ServiceId
from mailbearer.store.rows import change, to_micros

# Two processes read the clock and write in another order: whoever writes last may have asked for the earlier end. Its
# write may have waited for the other's lock for ten seconds. Only what ends later by more was not taken just now.
SLACK = timedelta(minutes=1)


def take(
    connection: apsw.Connection, table: str, service: ServiceId, owner: str, *, until: datetime, now: datetime
) -> bool:
    """Lease the row of ``service`` until ``until`` if nobody has it; tell whether it was free.

    One that ends much later than the one asked for was taken before the clock was set back, and is free.
    """
    sql = f"""UPDATE {table} SET lease_owner = ?, lease_until = ?
        WHERE service = ? AND (lease_until <= ? OR lease_until > ?)"""  # noqa: S608 - a name of ours
    bindings = (owner, to_micros(until), service, to_micros(now), to_micros(until + SLACK))
    return change(connection, sql, bindings) > 0
