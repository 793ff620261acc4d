from mailbearer.listeners.limits import ADDRESSES_KEPT, HOUR, HourlyCount, Limits, Penalties, Places, network_of
from mailbearer.model.device import DeviceId

X, Y, GONE = DeviceId("x"), DeviceId("y"), DeviceId("gone")


def test_an_ipv6_subscriber_is_one_host() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("not:an:address") == "not:an:address"


def test_places_run_out_for_one_address_and_for_all() -> None:
    places = Places(Limits(connections=2, connections_per_address=1))
    assert [places.enter(address) for address in ("a", "a", "b", "c")] == [True, False, True, False]
    places.leave("a")
    assert places.enter("c")


def test_an_hour_later_the_device_may_send_again() -> None:
    count = HourlyCount()
    count.note(X, 1.0)
    count.note(X, 10.0)
    assert count.reached(X, 2, 20.0)
    assert not count.reached(X, 0, 20.0)
    assert not count.reached(X, 2, HOUR + 1)


def test_a_higher_limit_counts_what_was_sent_under_the_lower_one() -> None:
    count = HourlyCount()
    for at in (1.0, 2.0, 3.0):
        count.note(X, at)
    assert count.reached(X, 2, 5.0)
    assert count.reached(X, 3, 5.0)
    assert not count.reached(X, 4, 5.0)


def test_what_the_queue_knows_is_counted_once() -> None:
    count = HourlyCount()
    count.note(X, 3.0)
    count.note(GONE, 3.0)
    count.remember({X: [2.0, 3.0], Y: []})
    assert count.reached(X, 2, 5.0)
    assert not count.reached(X, 3, 5.0)
    assert not count.reached(GONE, 1, 5.0)
    assert not count.reached(Y, 1, 5.0)


def test_a_clock_that_is_set_back_locks_no_device() -> None:
    count = HourlyCount()
    count.note(X, 2 * HOUR)
    assert not count.reached(X, 1, 60.0)


def test_guessing_gets_slower() -> None:
    penalties = Penalties()
    waits: list[float | None] = []
    now = 0.0
    for _ in range(8):
        wait = penalties.wait("a", now)
        waits.append(wait)
        now += wait or 0.0
        penalties.note("a", now)
    assert waits == [0.0, 0.0, 0.0, 0.0, 2.0, 4.0, 8.0, 15.0]
    assert penalties.wait("b", now) == 0.0
    assert penalties.wait("a", now + Penalties.FORGOTTEN + 1) == 0.0


def test_guesses_side_by_side_wait_for_each_other_and_then_are_refused() -> None:
    penalties = Penalties()
    for _ in range(10):
        penalties.note("a", 0.0)
    assert [penalties.wait("a", 0.0) for _ in range(6)] == [15.0, 30.0, 45.0, 60.0, 75.0, None]


def test_remembering_is_bounded() -> None:
    penalties = Penalties()
    for number in range(ADDRESSES_KEPT + 10):
        penalties.note(str(number), 0.0)
    assert penalties.note("0", 0.0) == 1
    assert penalties.note(str(ADDRESSES_KEPT), 0.0) == 2
