"""The network of GGUF architecture `bitnet`: with ternary weights and 8-bit activations, or plain, for half precision."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, silu


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 1024
    context: int = 256
    hidden: int = 256
    ffn: int = 512
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    epsilon: float = 1e-5
    rope_base: float = 10000.0


def straight_through(x, quantised):
    """The value is the quantised one; the gradient passes as if nothing had been done to x."""
    return x + (quantised - x).detach()


def weight_scale(weight):
    """The mean size of a tensor's weights (absmean), as half precision holds it."""
    return weight.abs().mean().clamp(min=1e-5).half().float()


def ternary(weight):
    """Returns the weights as -1, 0 and +1, and their scale."""
    scale = weight_scale(weight)
    return (weight / scale).round().clamp(-1, 1), scale


def quantise_activations(x):
    """The largest value of each token becomes 127 (absmax)."""
    scale = 127 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
    return straight_through(x, (x * scale).round().clamp(-128, 127) / scale)


class Norm(nn.Module):
    """Root mean square normalisation, and the 8-bit rounding where linear layers that read it are ternary."""

    def __init__(self, width, shape, rounded):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon, self.rounded = shape.epsilon, rounded

    def forward(self, x):
        x = x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.epsilon) * self.weight
        return quantise_activations(x) if self.rounded else x


class Linear(nn.Module):
    """No bias; the activations are those of a `Norm`."""

    def __init__(self, inputs, outputs, is_ternary):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * 0.02)
        self.is_ternary = is_ternary

    def forward(self, x):
        weight = self.weight
        if self.is_ternary:
            with torch.no_grad():
                weights, scale = ternary(weight)
            weight = straight_through(weight, weights * scale)
        return linear(x, weight)


class Layer(nn.Module):
    def __init__(self, shape, is_ternary):
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
        self.attn_norm = Norm(shape.hidden, shape, is_ternary)
        self.attn_q = Linear(shape.hidden, queries, is_ternary)
        self.attn_k = Linear(shape.hidden, keys, is_ternary)
        self.attn_v = Linear(shape.hidden, keys, is_ternary)
        self.attn_sub_norm = Norm(queries, shape, is_ternary)
        self.attn_output = Linear(queries, shape.hidden, is_ternary)
        self.ffn_norm = Norm(shape.hidden, shape, is_ternary)
        self.ffn_gate = Linear(shape.hidden, shape.ffn, is_ternary)
        self.ffn_up = Linear(shape.hidden, shape.ffn, is_ternary)
        self.ffn_sub_norm = Norm(shape.ffn, shape, is_ternary)
        self.ffn_down = Linear(shape.ffn, shape.hidden, is_ternary)

    def forward(self, x, rope, mask):
        normed = self.attn_norm(x)
        query, key, value = self.attn_q(normed), self.attn_k(normed), self.attn_v(normed)
        mixed = self.attention(query, key, value, rope, mask)
        x = x + self.attn_output(self.attn_sub_norm(mixed))
        normed = self.ffn_norm(x)
        gated = silu(self.ffn_gate(normed)) * self.ffn_up(normed)
        return x + self.ffn_down(self.ffn_sub_norm(gated))

    def attention(self, query, key, value, rope, mask):
        batch, tokens, _ = query.shape
        shape, group = self.shape, self.shape.heads // self.shape.kv_heads
        heads = batch, shape.kv_heads, group, tokens
        # [batch][kv head][query head of the group][token][dim]
        query = query.view(batch, tokens, shape.kv_heads, group, shape.head).permute(0, 2, 3, 1, 4)
        query = turn(query * shape.head**-0.5, rope).flatten(2, 3)
        key = key.view(batch, tokens, shape.kv_heads, shape.head).transpose(1, 2)
        value = value.view(batch, tokens, shape.kv_heads, shape.head).transpose(1, 2)
        scores = (query @ turn(key, rope).transpose(-1, -2)).view(*heads, tokens)
        mixed = (scores + mask).softmax(dim=-1).flatten(2, 3) @ value
        return mixed.view(*heads, shape.head).permute(0, 3, 1, 2, 4).reshape(batch, tokens, -1)


class Network(nn.Module):
    def __init__(self, shape, is_ternary):
        super().__init__()
        self.shape, self.is_ternary = shape, is_ternary
        self.token_embd = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        self.blk = nn.ModuleList(Layer(shape, is_ternary) for _ in range(shape.layers))
        self.output_norm = Norm(shape.hidden, shape, False)
        self.rope = rope_table(shape)
        self.mask = torch.full((shape.context, shape.context), float("-inf")).triu(1)

    def as_stored(self):
        """Rounds to half precision what files hold so: all matrices but ternary ones, whose rounding is their own."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and not (self.is_ternary and name.startswith("blk.")):
                parameter.data = parameter.data.half().float()

    def forward(self, ids):
        """Returns the logits of ids, [batch][tokens] -> [batch][tokens][vocabulary]."""
        tokens = ids.shape[1]
        rope = tuple(part[:tokens] for part in self.rope)
        x = self.token_embd[ids]
        for layer in self.blk:
            x = layer(x, rope, self.mask[:tokens, :tokens])
        return linear(self.output_norm(x), self.token_embd)

    def loss(self, ids, first=0, reduction="mean"):
        """Returns the negative log-likelihood of what positions from `first` on predict, ids [batch][tokens]."""
        logits = self(ids[:, :-1])[:, first:]
        return cross_entropy(logits.flatten(0, 1), ids[:, first + 1 :].flatten(), reduction=reduction)


def rope_table(shape):
    """Returns sine and cosine of each position and pair of dimensions, [context][head / 2]."""
    rates = shape.rope_base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * rates
    return angles.sin().float(), angles.cos().float()


def turn(x, rope):
    """Rotary positions; a pair is dimensions i and i + head / 2 (the order named NeoX)."""
    sin, cos = rope
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
