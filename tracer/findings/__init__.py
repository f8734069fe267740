"""Causes that explain more than one packet: what is known lies in findings.yaml, what is the case in facts."""
