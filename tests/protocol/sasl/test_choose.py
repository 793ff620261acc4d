from mailbearer.protocol.sasl.choose import choose


def test_the_first_wanted_that_is_offered_is_chosen_in_any_letter_case() -> None:
    assert choose({"login", "OAuthBearer", "xoauth2"}, ["XOAUTH2", "OAUTHBEARER"]) == "XOAUTH2"
    assert choose({"OAUTHBEARER"}, ["XOAUTH2", "OAUTHBEARER"]) == "OAUTHBEARER"


def test_nothing_is_chosen_that_is_not_offered() -> None:
    assert choose({"LOGIN"}, ["XOAUTH2"]) is None
