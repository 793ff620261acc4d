"""Every error code with its sentences: what happened, why and what to do, who must do it.

``TABLE`` is the one place for the words. An entry is ``CODE actor: what happened`` and, indented, why and what to do.
``{name}`` is a field that the error carries, ``{name|words}`` says which words stand in when it does not carry it.
A code keeps its meaning for ever; ``docs/errors.md`` is made from here by ``make docs``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

VALUE_LIMIT: Final = 300  # characters of a field that are shown; the whole text is in the log
PREFIX: Final = "MB-"
NOBODY: Final = "nobody"
ADMINISTRATOR: Final = "administrator"
ACCOUNT: Final = "account"
PROVIDER_ADMINISTRATOR: Final = "provider-administrator"
ACTORS: Final = (NOBODY, ADMINISTRATOR, ACCOUNT, PROVIDER_ADMINISTRATOR)

TABLE: Final = """
T01 administrator: {provider}'s sign-in service cannot be reached.
  No usable connection to {host|it} ({problem|no answer}). Allow HTTPS to {host|it}, then try again.
T02 account: The code ran out before anyone signed in.
  A code is good for {minutes|15} minutes. Nothing has changed: a token already in use stays in use. Get a new code.
T03 account: The sign-in was declined.
  Someone entered the code and then chose not to allow Mailbearer. If that was you, get a new code and accept on the
  last page. If not, no harm was done.
T04 provider-administrator: Your organization does not allow sign-in with a code.
  A security policy stopped it; account and password are fine. Sign in with a browser instead, or ask for {account|this
  account} to be exempted from the policy that blocks device code flow.
T05 provider-administrator: An administrator at {provider} must approve Mailbearer first.
  Your organization does not let users approve new applications. Send the approval link; "Consent on behalf of your
  organization" must be ticked there.
T06 account: You signed in with a different account.
  Account Name is {account}, signed in was {other|another one}. The token was not kept. Use a private window.
T07 account: Token update failed. Please delete the token and obtain it again.
  {provider} withdrew the authorization: the password of {account} was changed, or an administrator ended its sign-ins.
  Sign in again.
T08 account: Token update failed. Please delete the token and obtain it again.
  The authorization was not used for {days|90} days and lapsed. Sign in again and leave Mailbearer running: it renews
  by itself.
T09 account: Token update failed. Please delete the token and obtain it again.
  {provider} withdrew the authorization: it was removed in the account, the password was changed, it was unused for 6
  months, too many newer ones exist, or a session rule of your organization ended it. If this recurs within days, see
  MB-T10.
T10 administrator: Token update failed. Please delete the token and obtain it again.
  The project at {provider} is still in testing, where every authorization ends after 7 days. Publish the project (or
  set it to Internal), then get a new token.
T11 provider-administrator: The account {account|of this service} is {state|not available}.
  Token status is Invalid. Ask your administrator at {provider} to put it right, then test again; a new token is needed
  only if the test says so.
T12 account: {provider} asks for a second factor.
  The rules for this account changed. Sign in once more and confirm the second factor.
T13 administrator: {tenant|The organization} does not know this Client ID.
  The registration is in another tenant, was deleted, or serves one tenant only. Check Client ID and Tenant under
  Providers; enter the tenant by name instead of "common".
T14 administrator: The client secret is not right.
  Often the secret's ID was pasted instead of its value, or the Client ID belongs to another registration. Paste both
  again under Providers. Tokens stay good.
T15 administrator: The client secret has ended.
  It ended {when|some time ago}. Make a new one at {provider} and paste it under Providers. Tokens stay good.
T16 administrator: The redirect address is not registered.
  Add exactly this address to the registration: {address|the redirect address shown under Providers}.
T17 administrator: {provider} does not send browsers to private addresses.
  Use sign-in with pasting, or give this machine a public https address.
T18 account: This is not the address of the last page.
  It must start with {start|http://127.0.0.1} and contain "code=". Copy the whole address from the address bar.
T19 administrator: {provider} does not grant mail access this way.
  {problem|The permission asked for is not one that it gives to this kind of sign-in.} Choose another way to sign in, or
  check the scopes of the registration.
T20 account: Permission is incomplete.
  {account} allowed signing in, but not {missing|all that mail needs}. Get a token again and leave every box ticked.
T21 account: {provider} gave a token that cannot be renewed.
  "Stay signed in" (offline access) was not granted. Get a token again; if it recurs, check the registration.
T22 administrator: {account} belongs to another organization.
  Set Tenant to {domain|the organization of the account}, or use an account of {tenant|this one}.
T23 administrator: This machine's clock is {offset|some minutes} off.
  Tokens would be refused. Set the time of this machine, then try again.
T24 nobody: {provider} is busy.
  It gives no tokens at this moment ({problem|no reason given}). Mailbearer tries again by itself {when|soon}.
  Nothing to do.
T25 administrator: The token vault is locked.
  The key {path|in use} is not available ({reason|it was not found}). Bring it back and start again. Mail waits in
  the queue, nothing was overwritten.
T26 administrator: Stored tokens cannot be read.
  They were saved with another key, for instance on another machine, or were changed. Restore the key, or get new
  tokens.
T27 provider-administrator: The application may not use the mailbox of {account}.
  An Exchange administrator must register the application and give it access to this mailbox.
T28 provider-administrator: {provider} does not let the service account act for {account}.
  A Workspace administrator must allow client {client_id|ID of the service account} with scope https://mail.google.com/
  under domain-wide delegation. It takes up to a day.
T29 account: {person|Somebody} started a sign-in {when|before}.
  Its code is still good. Use that one, or start over.
T30 provider-administrator: Token update failed. Please delete the token and obtain it again.
  Your organization asks for a fresh sign-in every {days|few} days, also from machines. Ask for {account} to be exempted
  from the sign-in frequency rule, otherwise this comes back.
T31 provider-administrator: {account} is not allowed to use Mailbearer.
  Under Enterprise applications › Mailbearer › Users, add {account}.
T32 provider-administrator: Mailbearer is switched off in {tenant|the organization}.
  An administrator disabled the application. Ask them to enable it under Enterprise applications.
T33 account: This code was used, or belongs to another region.
  Get a new code.
T34 administrator: The registration may not use this kind of sign-in.
  {provider} says so ({problem|no reason given}). Under the registration, allow public client flows for sign-in with a
  code, or paste the client secret for sign-in with a browser.
T35 administrator: The request does not fit {provider}.
  It says: {problem|nothing more}. Check Client ID, Tenant, scopes and cloud under Providers.
T36 provider-administrator: The organization's rules refused the sign-in of {account}.
  A Conditional Access or security policy stopped it; the password is fine. Give the administrator the trace under
  Details for support, and ask for {account} to be exempted.
T37 account: {provider} does not accept the password of {account}.
  Token status is Invalid. Sign in again with the password that is right today.
T38 nobody: {provider} stopped answering the same request.
  It was asked too often and wants a pause of 10 minutes. Mailbearer keeps it. Nothing to do.
T39 provider-administrator: Token update failed. Please delete the token and obtain it again.
  Your organization now blocks sign-in with a code, and with it every token that was obtained by one. Sign in with a
  browser.
T40 administrator: {host} is not a mail server of {provider}.
  No token was shown to it. Its servers: {known|see Providers}. Check the name; if it is right, add it to the servers of
  {provider} under Providers.
T41 administrator: A token is never sent unencrypted.
  The connection to {host} on port {port|in use} is not encrypted. Set Enable SSL/TLS to STARTTLS or TLS.
T42 account: Token update failed. Please delete the token and obtain it again.
  The answer to the last renewal was lost on its way, and {provider} no longer takes the token that was used for it.
  Sign in again.
T43 account: The answer did not belong to this sign-in.
  It was ignored for safety ({problem|its state is not ours}). Nothing was changed. Start the sign-in again.
T44 nobody: {host|The sign-in service} gave a strange answer.
  It was no usable answer ({problem|not as the standard has it}). A proxy or sign-in page of the network may stand in
  between. Mailbearer tries again by itself.
T45 administrator: A token is held for {account}.
  Delete it first, or confirm that it is to be replaced, then get a new one.
T46 administrator: {url|The address} cannot be used as an https address.
  Tokens and secrets travel over https only; http is for addresses of this machine itself.
T47 administrator: The discovery document is of another issuer.
  Asked was {asked|one issuer}, it says {told|another}. Enter the issuer exactly as the provider writes it.
T48 administrator: The discovery document cannot be used.
  {url|It}: {problem|not what the standard describes}. Check the address, or enter the endpoints by hand.
T49 administrator: No Client ID is registered for {provider}.
  Register Mailbearer at {provider} and enter the Client ID under Providers.
T50 administrator: {provider} takes no OAuth 2.0 for mail.
  Set Authentication Method to Password, with an app password if {provider} has them.
T51 administrator: {provider} allows no {flow|such} sign-in for mail.
  {reason|It grants mail access in other ways only}. Choose another way to sign in.
T52 account: No sign-in is under way for {service}.
  It ended, was cancelled, or was never started. Get Token starts one.
T53 administrator: Not confirmed.
  Nothing was changed. Confirm with OK on the page or panel, or with --yes on the command line.
T54 account: There is no token for {service}.
  Token status is Not Retrieved. Get a token; waiting mail then goes out by itself.
T55 administrator: The redirect address is registered as a single-page application.
  Such tokens end after 24 hours. Register it under "Mobile and desktop applications" or "Web", then delete the token
  and obtain it again.
T56 administrator: {provider} gave a token of an unknown kind.
  Its type is {told|not said}; mail needs Bearer.
T57 administrator: The proof by certificate or key was refused.
  {provider} does not accept it ({problem|no reason given}). Check the certificate or key of the registration and the
  clock of this machine.
T58 account: Waiting for someone to sign in.
  {provider} shows its page until the code runs out.
T59 administrator: The registration takes no client secret.
  It is a public one at {provider}: remove the secret under Providers, or register as Web. Tokens stay good.
T60 account: The sign-in was not finished on the page of {provider}.
  Nothing has changed. Start it again.
T99 account: {provider} answered with {word|an error}, which Mailbearer does not know.
  Its own words: "{text|none}". Getting a new token may help.
S01 administrator: The name {host} does not exist.
  Look for a typing error in Primary Server. Did you mean {suggestion|another name}?
S02 administrator: Names cannot be looked up.
  The DNS server {server|of this machine} does not answer. Check the network settings of this machine.
S03 administrator: {host} refuses connections on port {port|as set}.
  Port Number is probably wrong. {provider} uses {usual|587 with STARTTLS or 465 with TLS}.
S04 administrator: No answer from {host} on port {port|as set}.
  A firewall probably blocks it. Allow outgoing TCP {port|connections} to {host}. Port 25 is blocked by most networks:
  use 587.
S05 administrator: This is not a mail-sending server.
  {host}:{port|?} answered "{greeting|something else}". Check Primary Server and Port Number.
S06 administrator: The certificate is not from {provider|an authority that this machine trusts}.
  Something between this machine and {host} opens encrypted connections, often a firewall that inspects traffic
  ({problem|the issuer is unknown}). Exempt {host}, or add the certificate of that authority to the provider.
S07 administrator: The certificate of {host} is not valid today.
  It is good from {not_before|another day} to {not_after|another day}; this machine thinks it is {now|between}. Check
  the clock first.
S08 administrator: The certificate is for another name.
  It is for {names|another server}, you entered {host}. Use one of those names.
S09 administrator: {host} offers no encryption on port {port|as set}.
  OAuth 2.0 is never sent in the clear. Use port 465 or another server.
S10 administrator: {host} and this machine have no encryption in common.
  It offers {offered|only old ones} ({problem|the handshake failed}); at least TLS 1.2 is needed.
S11 administrator: {host} does not take OAuth 2.0.
  It offers {offered|other methods}. Choose Authentication Method "Password", or check the server name.
S12 provider-administrator: The token is good, but sending is switched off for this {where|mailbox}.
  In the Microsoft 365 admin center: Users › the account › Mail › Manage email apps › tick Authenticated SMTP. It takes
  effect within an hour. A new token is not needed.
S13 account: {provider} refused the sign-in of {account}.
  Account Name must be the address of the mailbox itself, not an alias. If it is, get a new token.
S14 administrator: {provider} no longer accepts passwords.
  Set Authentication Method to OAuth 2.0 and get a token.
S15 provider-administrator: The account may not send as {address|this address}.
  Give {account} the permission "Send as" for it at {provider}, or let the device use a permitted address. Then press
  Retry now.
S16 nobody: Too many connections at once.
  {provider} takes {connections|3} for one account, and {rate|30} messages a minute. Mailbearer slows down and tries
  again. Nothing to do.
S17 nobody: Put off by {host}.
  Next try {next_try|in some minutes}. Reply: {reply|none}. Nothing to do.
S18 nobody: {recipient|A recipient} does not exist.
  Reply: {reply|none}. Check the address, or the address book of {device|the device}.
S19 nobody: The message is too large.
  It has {size|more}; {provider} takes {limit|less}. Scan with fewer dpi or in parts.
S20 nobody: The account has sent its limit for today.
  {provider} allows {limit|a fixed number of} recipients a day. Waiting mail goes out {resume|within a day}.
S21 provider-administrator: {provider} has blocked sending for {account}.
  It saw unusual mail. An administrator must lift the block at {portal|the provider's own pages}. Mail is
  held.
S22 nobody: Not delivered after {days|5} days.
  Last reply: {reply|none}. Put right what it names, then send it again.
S23 nobody: Sending through the Secondary Server.
  {primary|The Primary Server} has not answered since {since|a while}. It is tried again every 5 minutes.
S24 account: Held: no token for {service|SMTP}.
  {count|Waiting} messages go out by themselves when a token is retrieved.
S25 administrator: There is no room on the disk.
  It has {free|too little} left. Nothing more is accepted until there is room; nothing that was taken over is lost.
S26 account: The mailbox of {account} is full.
  {provider} keeps a copy of everything sent under Sent Items. Empty it, or set a retention rule for that folder. Mail
  is held and goes out afterwards.
S27 administrator: {device|The device} writes its sender in a broken form.
  Mailbearer has repaired it. Enter the plain address on the device, for instance scan-3f@harbourclinic.example.
S28 provider-administrator: The token is good, but a policy blocks the sign-in to the mail server.
  {provider} refuses SMTP for {account} (security defaults, Conditional Access or an authentication policy). An
  administrator must allow it. A new token is not needed.
S29 nobody: {host} asks for a fresher token.
  The one at hand ends too soon for it. Mailbearer renews it and tries again. Nothing to do.
S30 nobody: {host} broke the protocol.
  It sent something that mail servers do not say here ({problem|not as the standard has it}). Mailbearer tries again.
S31 nobody: {host} sent more than {limit|is allowed}.
  The connection was closed to keep this machine safe ({what|too much data}).
S32 nobody: The connection to {host} was lost.
  It ended {when|before its time}. Mailbearer tries again.
S33 nobody: {host} does not answer within {seconds|the set} seconds.
  The connection is there and nothing came ({when|waiting for an answer}). If it recurs, raise Timeout.
S34 nobody: {host} refused the message.
  Reply: {reply|none}. It is not sent again.
S35 nobody: It is not certain whether {host} took the message.
  The connection was lost after the end of the message. It is sent again with the same Message-ID, so a few people may
  get it twice.
S36 administrator: {host} cannot take this address or message.
  It does not offer {extension|what it needs} ({problem|SMTPUTF8 or 8BITMIME}). Use an address of plain letters, or
  another server.
S37 account: The token lacks the permission for {protocol|this mail server}.
  {account} signed in without it. Get a token again and leave every box ticked.
S38 account: {provider} wants {account} to sign in with a browser.
  It stopped a sign-in that looked unusual to it. Sign in at the account once, then get a new token.
S39 administrator: {host} wants a sign-in, and none was made.
  Set Authentication Method to OAuth 2.0 and get a token.
P11 administrator: {host} does not take OAuth 2.0 for POP.
  It offers {offered|other methods}. Check POP3 Server. {provider} uses {usual|another one}.
P12 account: The token is good, but POP is switched off for this mailbox.
  Microsoft 365: Users › the account › Mail › Manage email apps › tick POP. Gmail: Settings › Forwarding and POP/IMAP ›
  Enable POP. A new token is not needed.
P13 nobody: Another program is reading this mailbox.
  Only one may at a time. Mailbearer tries again at the next check. If it recurs, find the other one.
P14 nobody: Checked too often.
  {provider} asks for longer pauses. Mailbearer waits {minutes|some} minutes before the next check.
P15 administrator: Not accepted: {sender|a message}.
  The sender is not in "Accept from". The message stays on the server.
P16 administrator: Not printed: {reason|the printer is not ready}.
  The document is kept and printed when the printer is ready.
P17 administrator: Not filed: {path|the folder} cannot be reached.
  {reason|It does not exist or may not be written}. Tried again every 5 minutes; nothing is deleted from the server
  until it is filed.
P18 administrator: {name|The web address} did not take it: {status|no answer}.
  Tried again {next_try|later}, for 3 days.
P19 nobody: One message cannot be read.
  Its format is broken. It was set aside as received, byte for byte.
P20 administrator: Stopped: this mail goes in circles.
  It was forwarded by Mailbearer before. Check the addresses under "Received items go to".
P21 nobody: Nothing to print.
  The message has no PDF, TIFF or JPEG attachment. It was filed only.
P22 administrator: {host} does not number its messages.
  Without UIDL Mailbearer cannot know which messages it has received. Use another POP3 Server.
P23 account: {provider} refused the sign-in of {account} for POP.
  Account Name must be the address of the mailbox itself, and POP must be switched on for it (Microsoft 365: Users › the
  account › Mail › Manage email apps › tick POP). If both are right, get a new token.
G01 administrator: {device|A device} used a wrong password, from {ip|the network}.
  Enter the password again on the device, or make a new one: mailbearer device reset {device|NAME}.
G02 administrator: {device|A device} came from {ip|an address}, which is not allowed.
  If the device has a new address: mailbearer device set {device|NAME} networks={ip|…}.
G03 administrator: {device|A device} may not send as {address|this address}.
  Change "May send as", or the sender on the device.
G04 administrator: Somebody at {ip|an address} tried without encryption.
  Switch on STARTTLS on the device. One that has none needs a listener with networks and passwords_in_clear.
G05 administrator: {device|A device} offers only TLS {version|of old}.
  Allow old encryption for this one device, or use port 2525 from its fixed address.
G06 administrator: {device|A device} reached {limit|the set number of} messages an hour.
  Further messages are put off. If this is normal, raise the limit.
G07 nobody: Somebody unknown tried to sign in as “{name|…}”, from {ip|the network}.
  There is no device of that name. More tries from there wait longer and longer.
G08 administrator: Port {port|wanted} is used by another program.
  Stop that program or choose another port, then start. Other listeners run.
G09 administrator: Devices send through {service}.
  These: {devices|see the list of devices}. Let them use another service, or remove them, then remove the service.
G10 administrator: The folder {folder|that is watched} cannot be watched.
  {reason|It does not exist or may not be written}. Files stay where they are and are sent once it can be; tried again
  every minute.
G11 administrator: {device|A device} is switched off, and signed in from {ip|the network}.
  If it is to send again: mailbearer device set {device|NAME} enabled=yes.
G12 administrator: Somebody at {ip|an address} wants to send without signing in.
  Enter user name and password there. A device that cannot: mailbearer device add NAME networks={ip|…} by_address=yes.
G13 administrator: Port {port|wanted} cannot be opened: {reason|the system refuses it}.
  Choose another address or port, such as 2525, in mailbearer.toml. Other listeners run.
G14 administrator: Too many connections from {ip|one address}.
  Further ones are turned away. See connections_per_address and connections of the listener.
G15 administrator: {ip|An address} may not connect to port {port|of a listener}.
  If a device is there, add its address to networks of the listener.
G16 administrator: The listeners may have {wanted|more} connections, but this process only {files|fewer} files open.
  Further devices are not served then. Raise LimitNOFILE= of the unit (ulimit -Hn), or lower connections.
W01 account: User name or password is not right.
  {count|A few} more tries, then 15 minutes' pause for this address.
W02 account: Too many tries.
  Wait until {until|the pause is over}, or sign in from another address.
W03 account: You were signed out after {minutes|30} minutes without use.
  You return to the page you were on.
W04 administrator: Operators cannot do this.
  Ask an administrator: {names|any of them}.
W05 administrator: {field|A field}: {problem|this value cannot be used}.
  Nothing was changed.
W06 administrator: {person|Somebody else} changed {name|these settings} {when|meanwhile}.
  Your changes are not saved yet. Load them again, then change them.
W07 nobody: No contact with the machine since {since|a while}.
  What you see may be out of date. It reconnects by itself.
W08 administrator: Something went wrong here.
  Nothing was changed. What it was is in the log.
W09 administrator: This is not the setup code.
  It is in the terminal of the installation and on the panel.
W10 administrator: The passphrase does not open this file.
  Nothing was changed. It cannot be recovered.
W11 administrator: This file is from version {found|newer}; here is {here|an older one}.
  Update Mailbearer first. Nothing was changed.
W12 administrator: The folder cannot be reached.
  {reason|It does not exist or may not be written}. Tried again in an hour. The last good backup is of
  {date|an earlier day}.
W13 administrator: The audit log was changed from outside.
  Entry {number|found} does not match its seal. Entries before it are intact.
W14 administrator: {name|The web certificate} ends in {days|a few} days.
  {effect|What depends on it then stops}. Renew it.
W20 administrator: There is no {kind|entry} named {name|so}.
  There are: {known|none}.
W21 administrator: {kind|An entry} {name|of this name} exists already.
  Choose another name, or change the one that is there.
W22 administrator: {address|This} is no e-mail address.
  An address looks like scan-3f@harbourclinic.example.
W23 administrator: A message needs 1 to {limit|100} recipients.
  Nothing was sent.
W24 administrator: The Mailbearer service does not answer here.
  Start it with `mailbearer serve`, or give the data folder that it serves ({path|--data}).
W25 administrator: Another Mailbearer serves this data folder.
  Process {pid|unknown} has it. Stop that one first, or give another folder.
W26 administrator: {kind|The entry} has no field {field|of this name}.
  Its fields: {known|see the documentation}.
W27 administrator: Mail waits for {service}.
  Send it, or cancel it in the outgoing queue, then remove the service.
W28 administrator: {service} is always there.
  Its settings can be changed or emptied; it cannot be removed.
W29 administrator: {provider} is in use.
  Services that use it: {services|see Services}. Choose another provider there first.
W30 administrator: {service} has no server yet.
  Enter server and Port Number, or choose a provider, which fills them in.
W31 administrator: {service} has no password yet.
  Authentication Method is Password: enter the password of {account}, or set it to OAuth 2.0 and get a token.
W32 nobody: This cannot be done with a message that is {state|in another state}.
  Message {id|chosen} stays as it is.
W33 nobody: {service} is being checked already.
  Another command or the service itself is looking into this mailbox. Try again in a moment.
W34 administrator: Received items of {service} go nowhere yet.
  Enter where they go, for instance destinations=folder:/srv/received, so that nothing is lost.
W35 administrator: The key cannot be changed while the service runs.
  Stop `mailbearer serve`, run the command again, and start it.
W36 administrator: The key is kept elsewhere ({source|not in a file}).
  Change it there; `mailbearer vault rotate` changes only a key file.
D01 administrator: The data folder {path|in use} cannot be used.
  {reason|It may not be read or written}. Nothing was changed.
D02 administrator: The database {path|in use} is damaged.
  {reason|It does not read as a database}. Nothing was overwritten. Restore a backup, or move the file away to begin
  anew.
D03 administrator: The database {path|in use} is of a newer version.
  It is of version {found|newer}, this Mailbearer knows {here|an older one}. Update Mailbearer. Nothing was changed.
D04 nobody: The database {path|here} is in use by another operation.
  It did not become free in time. Try again in a moment.
D05 administrator: The disk gives errors.
  {path|A file}: {reason|it could not be read or written}. Nothing that was confirmed is lost; check the disk.
D06 administrator: {path|The data folder} is read-only.
  Give the user of Mailbearer the right to write there.
D07 administrator: The key file {path|in use} may be read by others.
  Take the rights of group and others away: chmod 600.
D08 administrator: The key {path|at hand} is not the key of this data.
  Found was {found|another key}, wanted is {wanted|the one that sealed it}. Nothing was overwritten; bring it back.
"""

NEUTRAL: Final[Mapping[str, str]] = {
    "provider": "the provider",
    "account": "the account",
    "host": "the server",
    "service": "this service",
}

POP_FROM_SMTP: Final = (*range(1, 11), *range(30, 34))  # P01 is S01 told of the POP3 Server, and so on
_POP_WORDS: Final = (
    ("Primary Server", "POP3 Server"),
    ("a mail-sending server", "a POP3 server"),
    ("587 with STARTTLS or 465 with TLS", "995 with TLS or 110 with STARTTLS"),
    (" Port 25 is blocked by most networks: use 587.", " Most providers use 995 with TLS."),
    ("Use port 465 or another server", "Use port 995 or another server"),
)
_ENTRY: Final = re.compile(r"([A-Z]\d\d) ([a-z-]+): (.+)")
_FIELD: Final = re.compile(r"\{(\w+)(?:\|([^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of one code, with fields in braces, and who must act (one of ``ACTORS``)."""

    what: str
    why: str
    actor: str


def _read_table(table: str) -> dict[str, Sentence]:
    entries: dict[str, Sentence] = {}
    code = ""
    for line in table.strip().splitlines():
        if entry := _ENTRY.fullmatch(line):
            code = PREFIX + entry[1]
            entries[code] = Sentence(entry[3], "", entry[2])
        else:
            told = entries[code]
            entries[code] = Sentence(told.what, f"{told.why} {line.strip()}".lstrip(), told.actor)
    return entries


def _told_of_pop(sentence: Sentence) -> Sentence:
    words, reason = sentence.what, sentence.why
    for smtp, pop in _POP_WORDS:
        words, reason = words.replace(smtp, pop), reason.replace(smtp, pop)
    return Sentence(words, reason, sentence.actor)


def _all_sentences() -> dict[str, Sentence]:
    entries = _read_table(TABLE)
    for number in POP_FROM_SMTP:
        entries[f"{PREFIX}P{number:02}"] = _told_of_pop(entries[f"{PREFIX}S{number:02}"])
    return entries


SENTENCES: Final[Mapping[str, Sentence]] = _all_sentences()
UNKNOWN: Final = SENTENCES["MB-W08"]


def shown(value: object) -> str:
    """Return ``value`` fit for a sentence: at most 300 characters, nothing that moves the cursor or hides text."""
    text = str(value)
    text = text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def fill(template: str, fields: Mapping[str, object]) -> str:
    """Put ``fields`` into ``template``; a field that is missing or empty reads as neutral words."""

    def word(place: re.Match[str]) -> str:
        value = fields.get(place[1])
        if value is not None and str(value):
            return shown(value)
        neutral = NEUTRAL.get(place[1], "unknown") if place[2] is None else place[2]
        begins = template[: place.start()].endswith(". ") or place.start() == 0
        return neutral[:1].upper() + neutral[1:] if begins else neutral

    return _FIELD.sub(word, template)


def what(code: str, fields: Mapping[str, object]) -> str:
    """Return what happened, as one sentence."""
    return fill(SENTENCES.get(code, UNKNOWN).what, fields)


def why(code: str, fields: Mapping[str, object]) -> str:
    """Return why, and what to do; may be empty."""
    return fill(SENTENCES.get(code, UNKNOWN).why, fields)


def actor(code: str) -> str:
    """Return who must do it: ``nobody``, ``administrator``, ``account`` or ``provider-administrator``."""
    return SENTENCES.get(code, UNKNOWN).actor


def fields_of(code: str) -> tuple[str, ...]:
    """Return the names of the fields that the sentences of ``code`` show, in order of appearance."""
    sentence = SENTENCES.get(code, UNKNOWN)
    return tuple(dict.fromkeys(name for name, _ in _FIELD.findall(f"{sentence.what} {sentence.why}")))
