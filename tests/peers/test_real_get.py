"""Getting a token at a real OAuth 2.0 server, by the real command: every way in which a code comes back (SPEC M6)."""

import re
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.peers.machine import ACCOUNT, Machine, held, text, visit
from tests.peers.stack.stack import Stack


def shown(command: subprocess.Popen[str], pattern: str) -> str:
    """Return what ``pattern`` finds in the output of a command that goes on."""
    assert command.stdout is not None
    for line in command.stdout:
        if found := re.search(pattern, line):
            return found[1]
    assert command.stderr is not None
    raise AssertionError(command.stderr.read())


USER_CODE = r"^  Code +(\S+)"
LINK = r"^  (https://\S+)"


@pytest.mark.parametrize("client", ["device-public", "device-secret"])
def test_device_grant_while_a_person_uses_the_page(stack: Stack, machine: Machine, client: str) -> None:
    machine.run("provider", "add", *machine.provider_words(client))
    machine.run("service", "set", "smtp", "provider=acme", f"account={ACCOUNT}")
    getting = machine.start("token", "get", "smtp", "--flow", "device", "--yes")
    code = shown(getting, USER_CODE)
    assert machine.status()["status"] == "Waiting for authorization"
    assert "Signed in" in stack.device_page(code, ACCOUNT).words
    done = machine.end(getting)
    assert done.code == 0, done
    assert f"Retrieved  {ACCOUNT}" in done.out
    token = machine.status()
    assert (token["status"], token["flow"], token["account_confirmed"]) == ("Retrieved", "device", True)


def test_device_grant_goes_on_after_the_command_was_left_and_the_service_restarted(
    stack: Stack, machine: Machine
) -> None:
    machine.set_up("smtp")
    with machine.serving() as service:
        getting = machine.start("token", "get", "smtp", "--flow", "device", "--yes", "--no-wait")
        code = shown(getting, USER_CODE)
        assert machine.end(getting).code == 0
        service.kill()
    with machine.serving():
        waiting = machine.start("token", "get", "smtp", "--yes")  # a second sign-in is refused, the first goes on
        assert "MB-T29" in machine.end(waiting).err
        stack.device_page(code, ACCOUNT)
        machine.until_status("Retrieved")


def test_person_who_cancels_ends_the_command_with_one_sentence(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "device", "--yes")
    stack.device_page(shown(getting, USER_CODE), ACCOUNT, deny=True)
    done = machine.end(getting)
    assert (done.code, "MB-T03" in done.err) == (1, True), done
    assert machine.status()["status"] == "Not Retrieved"


def test_login_page_ends_at_the_loopback_listener_of_the_command(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
    back = stack.sign_in(shown(getting, LINK), ACCOUNT)
    status, page = visit(back)
    done = machine.end(getting)
    assert done.code == 0, done
    assert (status, "Signed in." in page, ACCOUNT in page) == (200, True, True)
    assert machine.status()["status"] == "Retrieved"


def test_login_page_of_another_computer_is_pasted_back(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
    done = machine.end(getting, stack.sign_in(shown(getting, LINK), ACCOUNT) + "\n")
    assert done.code == 0, done
    assert machine.status()["status"] == "Retrieved"


def test_address_is_pasted_later_by_a_command_of_its_own(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes", "--no-wait")
    url = shown(getting, LINK)
    assert machine.end(getting).code == 0
    done = machine.run("token", "paste", text=stack.sign_in(url, ACCOUNT) + "\n")
    assert f"Retrieved  {ACCOUNT}" in done.out


def test_login_page_ends_at_the_callback_of_the_service(stack: Stack, machine: Machine) -> None:
    """The service stands behind a web server that has the registered address, as in a company it does."""
    callback = "https://mailbearer.test.example/oauth/callback"
    machine.set_up("smtp", client="web-app", callback=callback)
    with machine.serving() as service:
        getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
        back = stack.sign_in(shown(getting, LINK), ACCOUNT)
        assert back.startswith(callback)
        status, page = visit(f"{service.address}/oauth/callback?{urlsplit(back).query}")
        assert (status, "Signed in." in page) == (200, True)
        assert machine.end(getting).code == 0
        again, page = visit(f"{service.address}/oauth/callback?{urlsplit(back).query}")
        assert (again, "MB-T43" in page) == (400, True), "the same answer comes a second time"
        assert machine.status()["status"] == "Retrieved"


def test_other_account_is_refused_and_the_held_token_stays(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    machine.get_token("smtp")
    before = machine.held_tokens()
    getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
    _, page = visit(stack.sign_in(shown(getting, LINK), "somebody@test.example"))
    done = machine.end(getting)
    assert (done.code, "MB-T06" in done.err, "somebody@test.example" in done.err) == (1, True, True), done
    assert "somebody@test.example" in page
    assert machine.held_tokens() == before
    assert machine.status()["status"] == "Retrieved"


def test_missing_permission_is_named_and_nothing_is_kept(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "device", "--yes")
    stack.approve(shown(getting, USER_CODE), ACCOUNT, scope="openid offline_access email")
    done = machine.end(getting)
    assert (done.code, "MB-T20" in done.err, "mail" in done.err) == (1, True, True), done
    assert machine.status()["status"] == "Not Retrieved"


def test_answer_of_another_sign_in_is_refused_and_the_sign_in_goes_on(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp")
    getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes", "--no-wait")
    url = shown(getting, LINK)
    assert machine.end(getting).code == 0
    good = stack.sign_in(url, ACCOUNT)
    forged = re.sub("state=[^&]*", "state=forged", good)
    assert "MB-T43" in machine.run("token", "paste", "smtp", text=forged, code=1).err
    foreign = re.sub("iss=[^&]*", "iss=https%3A%2F%2Fevil.example", good)
    assert "MB-T43" in machine.run("token", "paste", text=foreign, code=1).err
    machine.run("token", "paste", text=good)


def test_discovery_without_trust_in_the_authority_says_so_and_stores_nothing(machine: Machine) -> None:
    words = [word for word in machine.provider_words() if not word.startswith("ca_file=")]
    done = machine.run("provider", "add", *words, code=75)
    assert "MB-T01" in done.err
    assert "certificate" in done.err
    assert "MB-W20" in machine.run("provider", "show", "acme", code=1).err


def test_discovery_of_another_issuer_is_refused(machine: Machine) -> None:
    words = [word.replace("https://localhost", "https://127.0.0.1") for word in machine.provider_words()]
    assert "MB-T47" in machine.run("provider", "add", *words, code=1).err


def test_two_services_of_one_account_get_tokens_of_their_own(stack: Stack, machine: Machine) -> None:
    machine.set_up("smtp", "pop.internet-fax", "pop.email-print")
    machine.get_token("smtp", "pop.internet-fax")
    assert machine.held_tokens("smtp") != machine.held_tokens("pop.internet-fax")
    deleted = machine.ask("token", "delete", "smtp")
    assert (deleted["status"], deleted["revoked"]) == ("Not Retrieved", None), "the other token may hang on it"
    machine.run("token", "refresh", "pop.internet-fax", code=0)
    assert machine.status("pop.email-print")["status"] == "Not Retrieved"
    assert held(machine.ask("service", "show", "smtp"), "settings")["account"] == ACCOUNT
    assert text(machine.status("pop.internet-fax"), "status") == "Retrieved"


def test_registered_address_of_this_machine_is_used_as_it_is(stack: Stack, machine: Machine) -> None:
    """A web application is registered with one exact address, also where that is this machine's own."""
    callback = "http://127.0.0.1:8080/oauth/callback"
    machine.set_up("smtp", client="web-app", callback=callback)
    with machine.serving() as service:
        getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
        back = stack.sign_in(shown(getting, LINK), ACCOUNT)
        assert back.startswith(callback)
        assert visit(back.replace("http://127.0.0.1:8080", service.address))[0] == 200
        assert machine.end(getting).code == 0
