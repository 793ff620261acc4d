"""SASL mechanisms (RFC 4422): XOAUTH2, OAUTHBEARER, PLAIN and LOGIN, as bytes before base64.

How they are framed in SMTP or POP3 is the business of those cores; nothing here knows a connection.
docs/signing-in.md says which mechanism is chosen and why.
"""
