"""Signing and verifying webhooks, and the secrets for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coatcheck.core.signature import ID, SIGNATURE, TIMESTAMP, TOLERANCE, BadSignature, derive_secret, sign, verify

NOW = 1_800_000_000
MASTER = bytes(range(32))
SECRET, OTHER, THIRD = (derive_secret(MASTER, name) for name in ("one", "other", "third"))
BODY = b'{"type": "job.succeeded", "data": {"id": "job_1"}}'
HEADERS = sign([SECRET], "evt_1", NOW, BODY)

SECRETS = st.binary(min_size=24, max_size=64).map(lambda key: f"whsec_{base64.b64encode(key).decode()}")
IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1, max_size=256)
EVENTS = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans()), max_size=5)
TIMES = st.integers(0, 10**12 - 1)


def secret_of(size: int) -> str:
    return f"whsec_{base64.b64encode(bytes(size)).decode()}"


class TestRoundTrip:
    @given(secret=SECRETS, webhook_id=IDS, at=TIMES, event=EVENTS)
    def test_what_was_signed_is_verified(self, secret: str, webhook_id: str, at: int, event: dict[str, Any]) -> None:
        body = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assume(b"\xed" not in body)  # a lone surrogate is in no UTF-8
        assert verify(secret, sign([secret], webhook_id, at, body), body, now=at) == event

    def test_the_signature_is_the_one_of_the_reference(self) -> None:
        """The vector that the libraries of Standard Webhooks are tested with."""
        body = b'{"test": 2432232314}'
        headers = sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    @pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
    def test_headers_may_come_in_any_case(self, spelled: Callable[[str], str]) -> None:
        assert verify(SECRET, {spelled(name): value for name, value in HEADERS.items()}, BODY, now=NOW)

    def test_the_clock_is_read_where_no_time_is_given(self) -> None:
        with pytest.raises(BadSignature, match="in the future"):
            verify(SECRET, sign([SECRET], "evt_1", 10**12 - 1, BODY), BODY)


class TestTampering:
    @given(st.data())
    def test_no_byte_of_the_body_can_be_changed(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(BODY) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda byte: byte != BODY[place]))
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(SECRET, HEADERS, BODY[:place] + bytes([other]) + BODY[place + 1 :], now=NOW)

    @given(st.integers(0, len(BODY) - 1))
    def test_the_body_cannot_be_cut_short(self, length: int) -> None:
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(SECRET, HEADERS, BODY[:length], now=NOW)

    @given(st.data())
    def test_no_character_of_the_signature_can_be_changed(self, data: st.DataObject) -> None:
        signature = HEADERS[SIGNATURE]
        place = data.draw(st.integers(3, len(signature) - 1))
        other = data.draw(st.characters(codec="ascii").filter(lambda character: character != signature[place]))
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(SECRET, {**HEADERS, SIGNATURE: signature[:place] + other + signature[place + 1 :]}, BODY, now=NOW)

    @given(IDS.filter(lambda other: other != "evt_1"))
    def test_the_id_cannot_be_changed(self, other: str) -> None:
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(SECRET, {**HEADERS, ID: other}, BODY, now=NOW)

    @given(st.integers(-TOLERANCE, TOLERANCE).filter(bool))
    def test_the_timestamp_cannot_be_changed(self, by: int) -> None:
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(SECRET, {**HEADERS, TIMESTAMP: str(NOW + by)}, BODY, now=NOW)

    @pytest.mark.parametrize("same", [f"0{NOW}", f"{NOW} ", f"+{NOW}", f"{NOW}.0"])
    def test_the_timestamp_cannot_be_spelled_in_another_way(self, same: str) -> None:
        with pytest.raises(BadSignature):
            verify(SECRET, {**HEADERS, TIMESTAMP: same}, BODY, now=NOW)

    def test_the_parts_cannot_be_cut_elsewhere(self) -> None:
        """`evt_1.1799999999.1800000000.{…}` must not be the message of two ids."""
        with pytest.raises(BadSignature, match="without a dot"):
            verify(SECRET, {**HEADERS, ID: f"evt_1.{NOW - 1}"}, BODY, now=NOW)

    @given(SECRETS.filter(lambda secret: secret != SECRET))
    def test_another_secret_does_not_do(self, secret: str) -> None:
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(secret, HEADERS, BODY, now=NOW)


class TestRotation:
    ROTATING = sign([OTHER, SECRET], "evt_1", NOW, BODY)

    def test_the_newest_secret_signs_first(self) -> None:
        by_each = [sign([secret], "evt_1", NOW, BODY)[SIGNATURE] for secret in (OTHER, SECRET)]
        assert self.ROTATING[SIGNATURE] == " ".join(by_each)

    @pytest.mark.parametrize("known", [OTHER, SECRET, [OTHER, SECRET], [SECRET, OTHER], (THIRD, SECRET)])
    def test_either_secret_verifies(self, known: str | list[str]) -> None:
        assert verify(known, self.ROTATING, BODY, now=NOW)

    @pytest.mark.parametrize("known", [[OTHER, SECRET], [SECRET, OTHER]])
    def test_a_receiver_may_know_two_where_one_signed(self, known: list[str]) -> None:
        assert verify(known, HEADERS, BODY, now=NOW)

    @pytest.mark.parametrize("known", [THIRD, [THIRD]])
    def test_a_third_one_does_not(self, known: str | list[str]) -> None:
        with pytest.raises(BadSignature, match="no signature matches"):
            verify(known, self.ROTATING, BODY, now=NOW)

    def test_signatures_of_other_versions_are_passed_over(self) -> None:
        among_others = f"v1a,AAAA v2,BBBB {HEADERS[SIGNATURE]} v1, v1"
        assert verify(SECRET, {**HEADERS, SIGNATURE: among_others}, BODY, now=NOW)


class TestTolerance:
    @pytest.mark.parametrize("now", [NOW - 300, NOW - 299.5, NOW, NOW + 299.5, NOW + 300])
    def test_five_minutes_either_way_are_good(self, now: float) -> None:
        assert verify(SECRET, HEADERS, BODY, now=now)

    @pytest.mark.parametrize(
        ("now", "told"), [(NOW - 300.5, "300 s in the future"), (NOW + 300.5, "300 s in the past")]
    )
    def test_more_is_not(self, now: float, told: str) -> None:
        with pytest.raises(BadSignature, match=told):
            verify(SECRET, HEADERS, BODY, now=now)

    def test_it_can_be_set(self) -> None:
        assert verify(SECRET, HEADERS, BODY, now=NOW + 10, tolerance=10)
        with pytest.raises(BadSignature, match="more than 10 s in the past"):
            verify(SECRET, HEADERS, BODY, now=NOW + 11, tolerance=10)


class TestMalformed:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({ID: ""}, "missing header: webhook-id"),
            ({TIMESTAMP: "", SIGNATURE: ""}, "missing header: webhook-timestamp, webhook-signature"),
            ({ID: "evt 1"}, "webhook-id is not"),
            ({ID: "evt_é"}, "webhook-id is not"),
            ({ID: "e" * 257}, "webhook-id is not"),
            ({TIMESTAMP: "soon"}, "webhook-timestamp is not a whole number"),
            ({TIMESTAMP: "1e9"}, "webhook-timestamp is not a whole number"),
            ({TIMESTAMP: "-5"}, "webhook-timestamp is not a whole number"),
            ({TIMESTAMP: "nan"}, "webhook-timestamp is not a whole number"),
            ({TIMESTAMP: "١٢٣"}, "webhook-timestamp is not a whole number"),
            ({TIMESTAMP: "9" * 5000}, "webhook-timestamp is not a whole number"),
            ({SIGNATURE: "v1"}, "no signature of version v1"),
            ({SIGNATURE: "v1a,AAAA"}, "no signature of version v1"),
            ({SIGNATURE: HEADERS[SIGNATURE].removeprefix("v1,")}, "no signature of version v1"),
            ({SIGNATURE: "v1,"}, "no signature matches"),
            ({SIGNATURE: "v1,\ud800"}, "not ASCII"),
        ],
    )
    def test_a_bad_header_is_told_in_one_line_without_what_it_said(self, changes: dict[str, str], told: str) -> None:
        with pytest.raises(BadSignature, match=told) as raised:
            verify(SECRET, {**HEADERS, **changes}, BODY, now=NOW)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 120

    @pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"{", b"\xff\xfe", b"[" * 200_000])
    def test_a_signed_body_that_is_no_event_is_told(self, body: bytes) -> None:
        with pytest.raises(BadSignature, match="not a JSON object"):
            verify(SECRET, sign([SECRET], "evt_1", NOW, body), body, now=NOW)

    @given(st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE]), st.text()), st.binary())
    def test_nothing_that_is_sent_raises_anything_else(self, headers: Mapping[str, str], body: bytes) -> None:
        with pytest.raises(BadSignature):
            verify(SECRET, headers, body, now=NOW)

    @pytest.mark.parametrize("body", ["{}", {"type": "job.succeeded"}, None])
    def test_a_parsed_body_is_the_mistake_of_the_receiver(self, body: Any) -> None:
        with pytest.raises(TypeError, match="raw bytes that came"):
            verify(SECRET, HEADERS, body, now=NOW)
        with pytest.raises(TypeError, match="raw bytes that came"):
            sign([SECRET], "evt_1", NOW, body)

    @pytest.mark.parametrize(
        "secret",
        [
            SECRET.removeprefix("whsec_"),
            f"{SECRET}\n",
            f" {SECRET}",
            SECRET.rstrip("="),
            "whsec_",
            "whsec_not base64",
            "whsec_é",
            secret_of(23),
            secret_of(65),
            SECRET.upper(),
        ],
    )
    def test_a_malformed_secret_is_told_without_it(self, secret: str) -> None:
        for use in (lambda: verify(secret, HEADERS, BODY, now=NOW), lambda: sign([secret], "evt_1", NOW, BODY)):
            with pytest.raises(ValueError, match="whsec_ and base64 of 24 to 64 bytes") as raised:
                use()
            assert SECRET.removeprefix("whsec_")[:8] not in str(raised.value)

    @pytest.mark.parametrize("size", [24, 64])
    def test_the_shortest_and_the_longest_secret_are_good(self, size: int) -> None:
        assert verify(secret_of(size), sign([secret_of(size)], "evt_1", NOW, BODY), BODY, now=NOW)

    @pytest.mark.parametrize("secrets", [[], "", None])
    def test_no_secret_is_told(self, secrets: Any) -> None:
        with pytest.raises(ValueError, match="no webhook secret was given"):
            verify(secrets, HEADERS, BODY, now=NOW)
        with pytest.raises(ValueError, match="no webhook secret was given"):
            sign(secrets, "evt_1", NOW, BODY)

    @pytest.mark.parametrize("webhook_id", ["", "evt.1", "evt 1", "evt_é", "evt\n1", "e" * 257])
    def test_an_id_that_could_blur_the_parts_is_not_signed(self, webhook_id: str) -> None:
        with pytest.raises(ValueError, match="without a dot"):
            sign([SECRET], webhook_id, NOW, BODY)


class TestDerivedSecrets:
    @given(st.binary(min_size=32), st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
    def test_what_it_is_for_decides_the_secret(self, master: bytes, parts: list[str], others: list[str]) -> None:
        try:
            same = derive_secret(master, *parts) == derive_secret(master, *others)
        except UnicodeEncodeError:  # no tenant and no id has a lone surrogate
            return
        assert same == (parts == others)

    @given(st.binary(min_size=32).filter(lambda master: master != MASTER))
    def test_another_master_gives_another_secret(self, master: bytes) -> None:
        # HMAC fills short keys up with zeros
        assume(master.rstrip(b"\0") != MASTER)
        assert derive_secret(master, "one") != SECRET

    def test_it_never_changes(self) -> None:
        """Deployed endpoints sign with it: another derivation would break each receiver."""
        assert derive_secret(MASTER, "acme", "whe_1", "1") == "whsec_2/T4/6pGsiaxjntiSSqDqLV30nxCthLuzK4QiNqSCKU="

    def test_it_has_32_bytes(self) -> None:
        assert len(base64.b64decode(SECRET.removeprefix("whsec_"), validate=True)) == 32

    @pytest.mark.parametrize(("master", "parts"), [(bytes(31), ("a",)), (MASTER, ())])
    def test_a_weak_master_or_no_purpose_is_refused(self, master: bytes, parts: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="32 bytes or more"):
            derive_secret(master, *parts)
