"""`topics init`: makes what is missing, changes nothing that is there (DESIGN section 9)."""

import pytest

from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import ended_well
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.kafka.broker import PASSWORD, USER, Broker
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e

Settings = dict[str, str]


def names_in(settings: Settings) -> list[str]:
    return [value for name, value in settings.items() if name.startswith("TOPIC_")]


def test_init_makes_the_topics_once(ingest: Ingest, kafka_settings: Settings) -> None:
    names = names_in(kafka_settings)
    dry = ["topics", "init", "--dry-run"]
    would = "".join(f"would make {name}\n" for name in names)
    assert ended_well(ingest(*dry, **kafka_settings)) == would
    assert ended_well(ingest(*dry, **kafka_settings)) == would
    made = "".join(f"made {name}\n" for name in names)
    assert ended_well(ingest("topics", "init", **kafka_settings)) == made
    assert ended_well(ingest("topics", "init", **kafka_settings)) == "nothing to do\n"
    assert ended_well(ingest(*dry, **kafka_settings)) == "nothing to do\n"


def test_a_topic_that_differs_is_told_and_left_as_it_is(
    ingest: Ingest, kafka_settings: Settings
) -> None:
    totals, letters = (kafka_settings[f"TOPIC_{name}"] for name in ("DAILY_TOTALS", "DEAD_LETTERS"))
    ended_well(ingest("topics", "init", **kafka_settings))
    renamed = {"TOPIC_DAILY_TOTALS": letters, "TOPIC_DEAD_LETTERS": f"{letters}-2"}
    other = {**kafka_settings, **renamed, "KAFKA_PARTITIONS": "2"}
    for first in (f"made {letters}-2\n", ""):
        done = ingest("topics", "init", **other)
        assert (done.status, done.err) == (1, "")
        assert done.out.startswith(first)
        assert f"{letters}: cleanup.policy is delete, wanted compact\n" in done.out
        assert f"{letters}: partitions is 4, the settings say 2\n" in done.out
        assert totals not in done.out
        assert "nothing to do" not in done.out
    assert ended_well(ingest("topics", "init", **kafka_settings)) == "nothing to do\n"


def test_no_broker_is_one_clear_line(ingest: Ingest) -> None:
    done = ingest("topics", "init", KAFKA_BROKERS=f"127.0.0.1:{free_port()}")
    assert is_one_clear_line(done, 3)
    assert "is it running" in done.err


def test_a_wrong_login_is_one_clear_line(ingest: Ingest, kafka_broker: Broker) -> None:
    login = {"KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD": "wrong one"}
    brokers = {"KAFKA_BROKERS": kafka_broker.address("SASL")}
    done = ingest("topics", "init", KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT", **brokers, **login)
    assert is_one_clear_line(done, 2)
    assert "refuses the login" in done.err
    assert "wrong one" not in done.err


def test_the_right_login_over_tls_is_let_in(
    ingest: Ingest, kafka_broker: Broker, kafka_settings: Settings
) -> None:
    done = ingest(
        "topics",
        "init",
        **{**kafka_settings, "KAFKA_BROKERS": kafka_broker.address("TLS")},
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_USERNAME=USER,
        KAFKA_SASL_PASSWORD=PASSWORD,
        KAFKA_TLS_CA=str(kafka_broker.certificate),
    )
    assert ended_well(done).count("made ") == 4
