"""Who somebody is: the name of a user of this machine, as the audit log writes it."""

import os
import pwd


def user_name(uid: int | None = None) -> str:
    """Return the name of user ``uid``, of the user we run as by default; ``uid 1000`` where it has none.

    The environment is not asked: everybody may write there what he likes.
    """
    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
