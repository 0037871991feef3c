"""moco/builder.py beside `oac.pretrain.methods.moco`."""

import types

import torch
import torch.nn.functional as F
from torch import nn

from oac.pretrain.methods.moco import MoCo, MoCoOptions
from oac.pretrain.nn import NarrowResNet


class Encoder(NarrowResNet):
    """The narrow network with the classifier `fc` that the authors replace by their head."""

    def __init__(self, num_classes):
        super().__init__(8, nn.BatchNorm2d)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        return self.fc(super().forward(x))


def test_loss_key_encoder_and_queue_over_six_steps(original, alone):
    torch.manual_seed(0)
    theirs = original("moco/moco/builder.py").MoCo(Encoder, dim=6, K=24, m=0.9, T=0.2, mlp=True).double()
    network = {"name": "narrow", "width": 8}
    ours = MoCo(network, MoCoOptions(queue=24, key_momentum=0.9, dim=6, hidden=64, bn_splits=1)).double()
    for mine, own in ((ours.encoder, theirs.encoder_q), (ours.key_encoder, theirs.encoder_k)):
        mine.load_state_dict({name: value for name, value in own.state_dict().items() if not name.startswith("fc")})
    for mine, own in ((ours.heads[0], theirs.encoder_q.fc), (ours.key_heads[0], theirs.encoder_k.fc)):
        mine.load_state_dict(own.state_dict())
    ours.queue.copy_(theirs.queue.T)
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 0.1, 0.9) for m in (ours, theirs)]
    batch = types.SimpleNamespace(swapped=torch.zeros(8, dtype=torch.bool))
    for step in range(6):  # 48 keys into 24 places
        query, key = torch.randn(2, 8, 3, 16, 16, dtype=torch.double)
        logits, labels = theirs(query, key)
        found, _ = ours.loss(query, key, batch)
        expected = F.cross_entropy(logits, labels)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        own_keys = [*ours.key_encoder.parameters(), *ours.key_heads[0].parameters()]  # fc is the last of theirs
        for mine, own in zip(own_keys, theirs.encoder_k.parameters(), strict=True):
            torch.testing.assert_close(mine, own, rtol=1e-10, atol=1e-10)
        for optimizer, loss in zip(optimizers, (found, expected), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ours.after_step(step / 6)
        torch.testing.assert_close(ours.queue.T, theirs.queue, rtol=1e-10, atol=1e-10)
        assert int(ours.pointer) == int(theirs.queue_ptr)
    states = ours.encoder.state_dict(), theirs.encoder_q.state_dict()
    assert any("running_var" in name for name in states[0])
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-9, atol=1e-9)
