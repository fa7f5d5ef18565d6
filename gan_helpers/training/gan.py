"""`GAN`: one step of adversarial training, and the averaged generator."""

import keras
import tensorflow as tf

from gan_helpers.models.augment import KINDS, WIDTH, augment
from gan_helpers.models.losses import LOSSES, r1_penalty
from gan_helpers.training.fused import FusedAdam, in_float32, stock_copy


class GAN(keras.Model):
    """A generator and a discriminator that train each other, as one Keras model.

    `fit` on batches of real images calls `train_step`, which updates both networks: the discriminator and then the
    generator (`train_discriminator`, `train_generator`), or both from one pass (`train_simultaneously`). Beside them
    a third network is kept, `averaged_generator`, in stock Keras layers, whose weights follow the generator's as a
    running average. A GAN's generator circles around its goal; the average stands nearer to it, so its faces are
    smoother and better, and it costs a few additions a step. Samples are drawn with it.

    Latents and augmentation are functions of `(seed, number of updates)`, so that a resumed run draws what one never
    stopped would.

    Args:
        generator: `keras.Model` from latents `(batch, latent_dim)` to images in [-1, 1].
        discriminator: `keras.Model` from images to scores `(batch, 1)`.
        seed: seed of the latents, at least 0. Defaults to `0`.
        averaging_half_life: images after which a past generator's share in the average has halved. Early in a run
            it is shortened to a twentieth of the images seen, so that the first noise is soon forgotten.
            Defaults to `10_000`.
        augmentation: kinds of differentiable augmentation, see `augment`. Defaults to none.
        r1_weight: weight of `r1_penalty` in the discriminator's loss, at least 0. Defaults to `0`, off.

    Raises:
        ValueError: the two networks do not fit each other, or an augmentation that there is not.

    Example:
        >>> gan = GAN(generator_model(100), discriminator_model())
        >>> gan.compile()
        >>> gan.fit(face_batches(images), steps_per_epoch=100, epochs=5)
        >>> faces = gan.averaged_generator(sample_latents(64))

    References: Goodfellow et al., "Generative Adversarial Networks", 2014; Yazici et al., "The Unusual Effectiveness
    of Averaging in GAN Training", 2019; the shortened half-life: Karras et al., "Training Generative Adversarial
    Networks with Limited Data", 2020.
    """

    def __init__(self, generator, discriminator, *, seed=0, averaging_half_life=10_000, augmentation=(), r1_weight=0.0):
        super().__init__(name="gan")
        if generator.output_shape[1:] != discriminator.input_shape[1:]:
            raise ValueError(
                f"expected a discriminator for the generator's images {generator.output_shape[1:]}; received one for "
                f"{discriminator.input_shape[1:]}; give both networks the same image_size"
            )
        unknown = [kind for kind in augmentation if kind not in KINDS]
        if unknown:
            raise ValueError(f"expected augmentations of {', '.join(KINDS)}; received {unknown[0]!r}")
        self.generator = generator
        self.discriminator = discriminator
        self.averaged_generator = stock_copy(generator)
        self.averaged_generator.trainable = False
        self.augmentation = tuple(augmentation)
        self.r1_weight = r1_weight
        self.latent_dim = generator.input_shape[-1]
        self.seed = seed
        self.averaging_half_life = averaging_half_life
        self.d_updates = keras.Variable(0, dtype="int64", trainable=False, name="d_updates")
        self.g_updates = keras.Variable(0, dtype="int64", trainable=False, name="g_updates")
        self.broken_at = keras.Variable(-1, dtype="int64", trainable=False, name="broken_at")
        self.means = [keras.metrics.Mean(name) for name in ("d_loss", "g_loss", "real_score", "fake_score")]
        self.built = True

    def compile(self, g_optimizer=None, d_optimizer=None, *, loss="non_saturating", simultaneous=False, **arguments):
        """Sets how both networks learn.

        Args:
            g_optimizer: the generator's Keras optimizer. Defaults to `Adam(2e-4, beta_1=0.5)` (Radford et al. 2015).
            d_optimizer: the discriminator's, another object. Defaults to the same settings.
            loss: `"non_saturating"` (default, for logits) or `"probability"` (for a sigmoid's output).
            simultaneous: make a step of `train_simultaneously` instead of the two alternating halves, which is
                faster. Defaults to `False`.
            **arguments: passed on to `keras.Model.compile`. `jit_compile` defaults to `True` on a GPU and `False`
                elsewhere, since XLA makes these networks slower on CPUs.

        Raises:
            ValueError: a loss that there is not, one optimizer for both networks, or `r1_weight` with probabilities.
        """
        if loss not in LOSSES:
            raise ValueError(f"expected a loss of {', '.join(LOSSES)}; received {loss!r}")
        if g_optimizer is not None and g_optimizer is d_optimizer:
            raise ValueError(
                "expected two optimizers; received the same object twice; "
                "make one for each network, since an optimizer keeps slots for its own weights"
            )
        if self.r1_weight and loss == "probability":
            raise ValueError(
                f"expected r1_weight 0 with a discriminator that gives probabilities; received {self.r1_weight}; "
                "the penalty is one on logits: leave its sigmoid out, and take another loss"
            )
        arguments.setdefault("jit_compile", bool(tf.config.list_physical_devices("GPU")))
        super().compile(**arguments)
        self.g_optimizer = g_optimizer or FusedAdam(2e-4, beta_1=0.5)
        self.d_optimizer = d_optimizer or FusedAdam(2e-4, beta_1=0.5)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.d_loss, self.g_loss = LOSSES[loss]
        self.gives_probabilities = loss == "probability"
        self.simultaneous = simultaneous

    @property
    def metrics(self):
        return self.means

    @property
    def step(self):
        """Updates of both networks so far, an `int`."""
        return int(self.g_updates.numpy())

    def call(self, latents, training=False):
        """Faces of the averaged generator: float32 `(batch, height, width, 3)` in [-1, 1]."""
        return self.averaged_generator(latents, training=training)

    def train_step(self, real_images):
        if self.simultaneous:
            results = self.train_simultaneously(real_images)
        else:
            results = self.train_discriminator(real_images) | self.train_generator(tf.shape(real_images)[0])
        for mean in self.means:
            mean.update_state(results[mean.name])
        self._watch(results)
        return {mean.name: mean.result() for mean in self.means}

    def train_discriminator(self, real_images):
        """One update of the discriminator: the first half of an alternating step.

        Real and fake images pass through it apart, each with their own batch statistics.

        Args:
            real_images: float32 `(batch, height, width, 3)` in [-1, 1].

        Returns:
            `dict` of float scalars: `d_loss`, and `real_score` and `fake_score`, the mean probability in [0, 1] that
            it gives real and fake images.
        """
        fake_images = self.generator(self._latents(0, self.d_updates, tf.shape(real_images)[0]), training=True)
        return self._learn_to_tell(real_images, fake_images)

    def train_generator(self, batch_size):
        """One update of the generator, and of its average: the second half of an alternating step.

        Args:
            batch_size: how many images to generate for it.

        Returns:
            `dict` with the float scalar `g_loss`.
        """
        latents = self._latents(1, self.g_updates, batch_size)
        with tf.GradientTape() as tape:
            g_loss = self.g_loss(self._discriminate(self.generator(latents, training=True), "again"))
            goal = self.g_optimizer.scale_loss(g_loss)
        self._learn_to_pass(tape.gradient(goal, self.generator.trainable_variables), batch_size)
        return {"g_loss": g_loss}

    def train_simultaneously(self, real_images):
        """One update of both networks from one generator pass: the same images serve both networks' gradients.

        It saves one of the two generator passes of the alternating halves, a twelfth of the arithmetic. What differs:
        the generator learns from the very images that the discriminator has just learnt from, not from others. The
        discriminator is updated first, as there, and the generator answers the updated one. (Both gradients taken from
        the old weights would save as much again, but after as many steps the faces are measurably worse: the generator
        always answers a discriminator that has moved on.)

        Args:
            real_images: float32 `(batch, height, width, 3)` in [-1, 1].

        Returns:
            `dict` of float scalars: `d_loss`, `g_loss`, `real_score`, `fake_score`.
        """
        batch_size = tf.shape(real_images)[0]
        latents = self._latents(0, self.d_updates, batch_size)
        with tf.GradientTape() as g_tape:
            fake_images = self.generator(latents, training=True)
            results = self._learn_to_tell(real_images, tf.stop_gradient(fake_images))
            g_loss = self.g_loss(self._discriminate(fake_images, "again"))
            goal = self.g_optimizer.scale_loss(g_loss)
        self._learn_to_pass(g_tape.gradient(goal, self.generator.trainable_variables), batch_size)
        return results | {"g_loss": g_loss}

    def _learn_to_tell(self, real_images, fake_images):
        """The discriminator's update."""
        with tf.GradientTape() as tape:
            real_logits, fake_logits = self._discriminate(real_images, "real"), self._discriminate(fake_images, "fake")
            d_loss = self.d_loss(real_logits, fake_logits) + self._penalty(real_images)
            goal = self.d_optimizer.scale_loss(d_loss)
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(goal, weights), weights)
        self.d_updates.assign_add(1)
        return {"d_loss": d_loss, "real_score": self._score(real_logits), "fake_score": self._score(fake_logits)}

    def _learn_to_pass(self, gradients, batch_size):
        """The generator's update, and its average's."""
        self.g_optimizer.apply(gradients, self.generator.trainable_variables)
        self.g_updates.assign_add(1)
        self._update_average(batch_size)

    def _discriminate(self, images, part):
        if self.augmentation:
            uniforms = tf.random.stateless_uniform((tf.shape(images)[0], WIDTH), self._seed(part))
            images = augment(images, uniforms, self.augmentation)
        return self.discriminator(images, training=True)

    def _penalty(self, real_images):
        """R1, in float32 whatever the precision: squares of gradients overflow in 16 bits."""
        if not self.r1_weight:
            return 0.0
        with tf.GradientTape() as tape, in_float32(self.discriminator):
            tape.watch(real_images)
            total = tf.reduce_sum(self.discriminator(real_images, training=True))
        return self.r1_weight * r1_penalty(tape.gradient(total, real_images))

    def _watch(self, results):
        """Notes the first step at which a loss or a weight stopped being finite; callbacks read it when they like."""
        sums = [tf.reduce_sum(weight) for network in (self.generator, self.discriminator) for weight in network.weights]
        finite = tf.math.is_finite(tf.add_n(sums)) & tf.math.is_finite(results["d_loss"] + results["g_loss"])
        first = tf.logical_and(self.broken_at < 0, tf.logical_not(finite))
        self.broken_at.assign(tf.where(first, self.g_updates, self.broken_at))

    def _update_average(self, batch_size):
        """Weights and batch-norm statistics alike move towards the generator's by `1 - decay`."""
        batch = tf.cast(batch_size, tf.float32)
        seen = batch * tf.cast(tf.convert_to_tensor(self.g_updates), tf.float32)
        half_life = tf.minimum(float(self.averaging_half_life), seen / 20.0)
        keep = tf.pow(0.5, batch / half_life)
        for average, current in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            average.assign(current + (average - current) * keep)

    def _latents(self, half, updates, batch_size):
        seed = tf.stack([tf.constant(self.seed, tf.int64), 2 * tf.convert_to_tensor(updates) + half])
        return tf.random.stateless_normal((batch_size, self.latent_dim), seed)

    def _seed(self, part):
        """The seed of a part's augmentation at this step, apart from those of latents and of other parts."""
        number = ("real", "fake", "again").index(part)
        updates = self.g_updates if part == "again" else self.d_updates
        return tf.stack([tf.constant(-1 - self.seed, tf.int64), 3 * tf.convert_to_tensor(updates) + number])

    def _score(self, logits):
        return tf.reduce_mean(logits if self.gives_probabilities else tf.sigmoid(logits))
