"""The largest error of each check that passes, by precision: where numbers of a certificate lie."""

# Largest error of each check that passes; a check without a limit does not apply.
LIMITS: dict[str, dict[str, float]] = {
    "fp64": {
        "tensors": 0,
        "evaluation logits": 1e-12,
        "logits of infer": 1e-12,
        "loss of step 1": 1e-12,
        "gradients": 1e-12,
        "worst gradient": 1e-11,
        "parameters after step 1": 1e-11,
        "statistics after step 1": 1e-12,
        "parameters after step 5": 1e-10,
        "statistics after step 5": 1e-10,
        # where a gradient is all but 0, Adam divides its rounding by epsilon: seen at 8e-11 in
        # resnet18, in resnet14 at 2e-14
        "parameters after step 20": 1e-9,
        "statistics after step 20": 1e-9,
        "losses of 20 steps": 1e-10,
    },
    "fp32": {
        "tensors": 0,
        "evaluation logits": 2e-6,
        "logits of infer": 2e-6,
        "loss of step 1": 1e-6,
        "gradients": 1e-5,
        "worst gradient": 1e-4,
        "parameters after step 1": 1e-4,
        # the mean of squares less the square of the mean, as Flax computes variances, was seen at
        # 2e-6 in resnet50; in resnet14 all stay below 1e-7
        "statistics after step 1": 5e-6,
        "losses of 20 steps": 2e-2,
    },
    "bf16": {
        "tensors": 0,
        "evaluation logits": 2e-2,
        "logits of infer": 2e-2,
        "loss of step 1": 5e-3,
        "gradient direction": 0.05,
        "gradient norm": 0.05,
        "statistics after step 1": 3e-3,  # 2e-3 in resnet56
        "losses of 20 steps": 5e-2,
    },
}
LIMITS["tf32"] = LIMITS["bf16"]
LIMITS["fp16"] = LIMITS["bf16"] | {"skipped steps": 0}  # by loss scaling, when gradients overflow

# In float32 the gradients of a deep or wide network may be as many times as inexact as those of the
# reference in float32: frameworks sum in other orders, and were seen at 0.6 to 1.4 times.
ROUNDING_ROOM = 4.0
