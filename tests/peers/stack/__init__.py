"""A real mail provider on 127.0.0.1, made of software that others wrote: oidc-provider, Dovecot, Postfix.

Only its configuration, its login page and its admin surface are ours. It holds no tests: those are beside it.
``docs/decisions/0009-test-stack.md`` tells why it is as it is.
"""
