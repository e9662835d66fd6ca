"""Policies of stable-baselines3, live and as files, are read as what they compute without noise."""

import io
import zipfile

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework
from tests.reference.pt_files import dictionary, file_of, tensor


def policy_file(name="policy.pth", **parts):
    state = {"mlp_extractor.policy_net.0.weight": tensor(0, 3, 2), "mlp_extractor.policy_net.0.bias": tensor(1, 3),
             "action_net.weight": tensor(2, 1, 3), "action_net.bias": tensor(3, 1), "log_std": tensor(3, 1),
             "value_net.weight": tensor(2, 1, 3)}  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr(name, file_of(dictionary(state | parts)))
    return file.getvalue()


LAYERS = ["mlp_extractor.policy_net.0", "action_net"]


def test_a_file_without_the_framework(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(policy_file())
    net = hr2jax.load(path, activation="tanh", layers=LAYERS)
    assert net.widths == (2, 3, 1) and net.layers[0].inputs[0].tolist() == [[0, 0.25], [0.5, 0.75], [1, 1.25]]
    with pytest.raises(ValueError, match=r"log_std is not expected.*layers"):
        hr2jax.load(path, activation="tanh")
    for data, message in ((policy_file("other.pth"), "holds one policy"), (policy_file()[:200], "not a whole .zip"),
                          (policy_file().replace(b"data.pkl", b"data.pkk"), "policy.pth is damaged")):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            hr2jax.load(path, activation="tanh", layers=LAYERS)


def models():
    sb3, gym = framework("stable_baselines3"), framework("gymnasium")

    class World(gym.Env):
        def __init__(self, actions, low=-1.0):
            self.observation_space = gym.spaces.Box(low, 1.0, (2, 2))
            self.action_space = actions

        def reset(self, **options):
            return self.observation_space.sample(), {}

    box, four = gym.spaces.Box(-1.0, 1.0, (2,)), gym.spaces.Discrete(4)
    for name in ("PPO", "PPO discrete", "A2C", "TD3", "DDPG", "SAC", "DQN"):
        own = {} if name[:3] in ("PPO", "A2C") else {"buffer_size": 10}
        world = World(four if name in ("PPO discrete", "DQN") else box)
        kind = getattr(sb3, name.split()[0])
        yield name, kind("MlpPolicy", world, policy_kwargs={"net_arch": [6, 5]}, device="cpu", **own)


@pytest.mark.framework("stable_baselines3", "torch")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore:.*LeafSpec:FutureWarning")
def test_what_policies_do_without_noise():
    torch = framework("torch")
    rng = np.random.default_rng(0)
    for name, model in models():
        policy, net = model.policy, hr2jax.as_network(model)
        assert net.hash == hr2jax.as_network(policy).hash
        x = torch.as_tensor(rng.normal(size=(20, 2, 2)).astype("f4"))
        with torch.no_grad():
            if name[:3] in ("PPO", "A2C"):
                found = policy.get_distribution(x).distribution
                expected = found.logits if hasattr(found, "logits") else found.mean
            else:
                part = policy.q_net if name == "DQN" else policy.actor
                assert hr2jax.as_network(part).hash == net.hash
                expected = part(x, deterministic=True) if name == "SAC" else part(x)
        ours, theirs = net(x.numpy().reshape(20, 4)), expected.numpy()
        if name == "PPO discrete":  # PyTorch's logits are shifted
            ours, theirs = (v - v[:, :1] for v in (ours, theirs))
        assert abs(ours - theirs).max() < 1e-5, name


@pytest.mark.framework("stable_baselines3", "torch")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore:.*LeafSpec:FutureWarning")
def test_saved_models_and_what_is_refused(tmp_path, caplog):
    import gymnasium as gym
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    model = next(model for _, model in models())
    model.save(tmp_path / "ppo.zip")
    names = ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"]
    assert hr2jax.load(tmp_path / "ppo.zip", "tanh", names).hash == hr2jax.as_network(model).hash

    class Mine(ActorCriticPolicy):
        pass

    world = model.get_env().envs[0].unwrapped
    with pytest.raises(ValueError, match=r"is of the class .*Mine, whose code may compute anything"):
        hr2jax.as_network(PPO(Mine, world, device="cpu"))
    normalised = VecNormalize(DummyVecEnv([lambda: world]))
    hr2jax.as_network(PPO("MlpPolicy", normalised, device="cpu"))
    assert "what VecNormalize makes of observations" in caplog.text
    world.observation_space = gym.spaces.Discrete(3)
    with pytest.raises(ValueError, match="observations of a Discrete"):
        hr2jax.as_network(PPO("MlpPolicy", world, device="cpu"))
