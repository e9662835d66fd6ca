"""Policies of stable-baselines3 as the modules that make an action of an observation, without its noise.

A policy's own forward draws an action; what is read is the mean (PPO, A2C), what an actor gives (TD3, DDPG; of SAC the
tanh of the mean), or the values or logits of discrete actions (DQN, PPO). Actors give actions in [-1, 1]; what
`predict` does with an action afterwards, such as clipping, is not part of it.
"""

from __future__ import annotations

import logging
from typing import Any

LOG = logging.getLogger("hr2jax")
_OURS = "stable_baselines3."


def of_algorithm(model: Any, example: Any) -> tuple[Any, Any]:
    """`of_policy` of an algorithm's policy; what normalises its observations is named in a warning."""
    environment = model.get_vec_normalize_env()
    if environment is not None and getattr(environment, "norm_obs", False):
        LOG.warning("the policy is read as a function of what VecNormalize makes of observations, not of observations")
    return of_policy(model.policy, example)


def of_policy(policy: Any, example: Any) -> tuple[Any, Any]:
    """(module, example) of a policy, or of its actor or network of values alone.

    Raises:
        ValueError: another class than stable-baselines3's own, or observations that it changes before its first layer.
    """
    import torch

    parts = _parts(policy)
    space = policy.observation_space
    if type(space).__name__ != "Box" or "float" not in str(space.dtype):
        raise ValueError(f"the policy takes observations of a {type(space).__name__} of {space.dtype}, which it "
                         "encodes or scales first; a Box of floats is read; give the policy's modules")  # fmt: skip
    module = torch.nn.Sequential(*parts)
    if example is None:
        example = torch.zeros((1, *space.shape))
    return module, example


def _parts(policy: Any) -> list[Any]:
    import torch

    names = [t.__name__ for t in type(policy).__mro__ if t.__module__.startswith(_OURS)]
    if not type(policy).__module__.startswith(_OURS):
        raise ValueError(f"the policy is of the class {type(policy).__qualname__}, whose code may compute anything; "
                         "give a torch.nn.Module of what it does")  # fmt: skip
    if "ActorCriticPolicy" in names:
        end = [torch.nn.Tanh()] if policy.squash_output else []
        return [_extractor(policy.pi_features_extractor), _own(policy.mlp_extractor, "MlpExtractor").policy_net,
                policy.action_net, *end]  # fmt: skip
    if "DQNPolicy" in names or "QNetwork" in names:
        network = _own(getattr(policy, "q_net", None), "QNetwork") if "DQNPolicy" in names else policy
        return [_extractor(network.features_extractor), network.q_net]
    actor = policy if "Actor" in names else _own(getattr(policy, "actor", None), "Actor")
    if not hasattr(actor, "latent_pi"):
        return [_extractor(actor.features_extractor), actor.mu]
    return [_extractor(actor.features_extractor), actor.latent_pi, actor.mu, torch.nn.Tanh()]


def _extractor(part: Any) -> Any:
    return _own(part, "FlattenExtractor")


def _own(part: Any, name: str) -> Any:
    """A part of a policy that is just that class of stable-baselines3."""
    if type(part).__name__ != name or not type(part).__module__.startswith(_OURS):
        raise ValueError(f"the policy holds a {type(part).__qualname__}, but only stable-baselines3's own MLP policies "
                         "are read, with no extractor of features before them; give the policy's modules")  # fmt: skip
    return part
