"""`angos-trio policy test`: what the policies of a configuration would say to somebody."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Mapping, Sequence

from angos_trio.app.access import access_of
from angos_trio.config.model import AccessPolicy, Config
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.identity import Action, Certificate, Decision, Identity, Target

_FORMS = "user:NAME, anonymous, cert:CN=NAME,O=NAME or oidc:PROVIDER:JSON"
_PART = re.compile(r"(?:^|,)\s*(CN|O|DNS|URI|email|issuer|fingerprint|serial)=", re.IGNORECASE)
_RULE = re.compile(r"(?:global|repository\.(?P<name>.+))\.access_policy\.rules\[(?P<number>\d+)\]")


def policy_test(files: Sequence[str], parsed: argparse.Namespace) -> int:
    """Print the decision, the rule and why; 0 when it is yes, 1 when it is no."""
    config = load_with_overrides(files, None, None, reads_files=False).config
    identity = parse_identity(parsed.who, parsed.address, config)
    asked = parse_action(parsed.action)
    access = access_of(config)
    decision = access.decide(identity, asked, parse_target(parsed.target, asked))
    print("allowed" if decision.allowed else "denied")
    print(f"decided by: {decision.rule}")
    text = rule_text(decision, config)
    if text is not None:
        print(f"the rule: {text}")
    if decision.reason:
        print(f"because: {decision.reason}")
    if decision.allowed and config.auth.webhook:
        print("note: an authorization webhook may be asked as well; it was not")
    return 0 if decision.allowed else 1


def parse_action(text: str) -> Action:
    """An action by its name. Raises OperatorError with the nearest one."""
    try:
        return Action(text)
    except ValueError:
        near = difflib.get_close_matches(text, list(Action), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(Action)}"
        raise OperatorError(f"--action: there is no action {text!r}; {hint}") from None


def parse_target(text: str | None, action: Action) -> Target:
    """`team/app`, `team/app:TAG` or `team/app@DIGEST`; None is the registry itself."""
    if text is None:
        return Target()
    name, has_digest, digest = text.partition("@")
    tag = ""
    if not has_digest and ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    named: dict[str, str | list[str]] = {}
    if digest:
        named["digest"] = named["reference"] = digest
    if tag:
        named["reference"] = tag
    if action is Action.PUT_MANIFEST:
        named["tags"] = [tag] if tag else []
    return Target(name, named)


def parse_identity(text: str, address: str, config: Config) -> Identity:
    """Who asks, as `--as` says it. Raises OperatorError."""
    kind, _, rest = text.partition(":")
    if text == "anonymous":
        return Identity("anonymous", "", "", address)
    if kind == "user" and rest:
        table = next(
            (name for name, user in config.auth.identity.items() if user.username == rest), None
        )
        return Identity("basic", "", rest, address, id=table)
    if kind == "cert" and rest:
        certificate = _certificate(rest)
        return Identity(
            "certificate", certificate.issuer, certificate.subject, address, certificate=certificate
        )
    if kind == "oidc" and rest:
        provider, _, claims = rest.partition(":")
        return Identity("oidc", provider, "subject", address, claims=_claims(claims))
    raise OperatorError(f"--as: {text!r} is none of {_FORMS}")


def _claims(text: str) -> Mapping[str, object]:
    try:
        claims = json.loads(text or "{}")
    except ValueError as error:
        raise OperatorError(f"--as: the claims are no JSON: {error}") from None
    if not isinstance(claims, dict):
        raise OperatorError("--as: the claims are no JSON object")
    return claims


def _certificate(text: str) -> Certificate:
    """`CN=…,O=…,DNS=…,URI=…,email=…,issuer=…`, each as often as it takes; an issuer comes last."""
    found: dict[str, list[str]] = {}
    starts = list(_PART.finditer(text))
    if not starts or starts[0].start() != 0:
        raise OperatorError(f"--as: {text!r} is no CN=…,O=…,DNS=…,URI=…,email=…,issuer=…")
    for number, start in enumerate(starts):
        key = start[1].lower()
        is_last = number + 1 == len(starts) or key == "issuer"
        end = len(text) if is_last else starts[number + 1].start()
        found.setdefault(key, []).append(text[start.end() : end])
        if key == "issuer":
            break
    names = [f"CN={name}" for name in found.get("cn", [])]
    names += [f"O={name}" for name in found.get("o", [])]
    return Certificate(
        subject=",".join(names),
        issuer="".join(found.get("issuer", [])),
        serial="".join(found.get("serial", [])),
        fingerprint="".join(found.get("fingerprint", [])),
        not_before=0,
        not_after=2**40,
        is_for_clients=True,
        common_names=tuple(found.get("cn", [])),
        organizations=tuple(found.get("o", [])),
        dns_names=tuple(found.get("dns", [])),
        uris=tuple(found.get("uri", [])),
        emails=tuple(found.get("email", [])),
    )


def rule_text(decision: Decision, config: Config) -> str | None:
    """The text of the rule that decided, if one did."""
    match = _RULE.fullmatch(decision.rule)
    if match is None:
        return None
    name = match["name"]
    policy: AccessPolicy | None = config.global_.access_policy
    if name is not None:
        policy = config.repository[name].access_policy
    return None if policy is None else policy.rules[int(match["number"])]
