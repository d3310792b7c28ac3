"""TensorFlow: plain functions, and loops over the steps inside of the graph."""

import tensorflow as tf


def script(cell, parameters, images, labels):
    variables = [tf.Variable(value) for value in parameters]
    statistics = [
        [tf.Variable(tf.zeros_like(v)), tf.Variable(tf.ones_like(v))] for v in variables[1:-2:3]
    ]
    moments = [[tf.Variable(tf.zeros_like(v)) for _ in range(2)] for v in variables]
    step = tf.Variable(0.0)
    x_all, y_all = tf.constant(images), tf.constant(labels)

    def network(x, training):
        layers = iter(
            zip(variables[:-2:3], variables[1:-2:3], variables[2:-2:3], statistics, strict=True)
        )

        def conv_bn(x, stride=1):
            kernel, scale, bias, (mean, variance) = next(layers)
            if stride > 1:
                x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
            x = tf.nn.conv2d(x, kernel, stride, "SAME" if stride == 1 else "VALID")
            x, new_mean, new_variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=bias, mean=mean, variance=variance,
                epsilon=1e-5, exponential_avg_factor=0.1, is_training=training,
            )  # fmt: skip
            if training:
                mean.assign(new_mean)
                variance.assign(new_variance)
            return x

        x = tf.nn.relu(conv_bn(x))
        for stride in (1, 1, 2, 1, 2, 1):
            y = tf.nn.relu(conv_bn(x, stride))
            y = conv_bn(y)
            x = tf.nn.relu(y + (x if stride == 1 else conv_bn(x, stride)))
        return tf.matmul(tf.reduce_mean(x, [1, 2]), variables[-2]) + variables[-1]

    @tf.function(jit_compile=cell.mode == "compiled")
    def train_step(x, y):
        with tf.GradientTape() as tape:
            logits = network(x, True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        t = step.assign_add(1.0)
        powers = {"beta1_power": 0.9**t, "beta2_power": 0.999**t}
        epsilon = 1e-8 * tf.sqrt(1 - powers["beta2_power"])
        for v, (m, s), g in zip(variables, moments, tape.gradient(loss, variables), strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=v.handle, m=m.handle, v=s.handle, grad=g, lr=1e-3, beta1=0.9, beta2=0.999,
                epsilon=epsilon, **powers,
            )  # fmt: skip
        return loss

    @tf.function(jit_compile=cell.mode == "compiled")
    def forward(x):
        return network(x, False)

    @tf.function
    def steps_of(first, count):
        losses = tf.TensorArray(tf.float32, count)
        for i in tf.range(count):
            batch = (first + i) % len(images)
            losses = losses.write(i, train_step(x_all[batch], y_all[batch]))
        return losses.stack()

    @tf.function
    def forward_of(first, count):
        logits = tf.zeros([images.shape[1], 10])
        for i in tf.range(count):
            # one batch after the other, as everywhere
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            logits = forward(x_all[(first + i) % len(images)])
        return logits

    done = 0

    def train(steps):
        nonlocal done
        losses = steps_of(tf.constant(done), tf.constant(steps)).numpy()
        done += steps
        return losses

    def infer(steps):
        nonlocal done
        logits = forward_of(tf.constant(done), tf.constant(steps)).numpy()
        done += steps
        return logits

    return train, infer
