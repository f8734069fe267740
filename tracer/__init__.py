"""Follow one packet between a pod and its node, and name the rule that ended it."""

__version__ = "0.1.0"
