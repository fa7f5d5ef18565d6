"""`GAN`: one step of adversarial training, and the averaged generator."""

import functools

import keras
import tensorflow as tf

from gan_helpers.models.augment import KINDS, WIDTH, augment
from gan_helpers.models.conditional import network_inputs
from gan_helpers.models.losses import (
    LOSSES,
    WITH_LABELS,
    WITHOUT_ZERO,
    gradient_penalty,
    interpolated,
    r1_penalty,
    r2_penalty,
    scores,
)
from gan_helpers.training.averages import Settled
from gan_helpers.training.fused import FusedAdam, in_float32, stock_copy
from gan_helpers.training.replicas import (
    apply_mean,
    drawn,
    in_step,
    mean_over_replicas,
    neighbours,
    replica_count,
    results_of_all,
)

SIGNALS = ("d_loss", "g_loss", "real_score", "fake_score", "d_gradient_norm", "g_gradient_norm") + (
    "real_low", "real_high", "fake_low", "fake_high")  # fmt: skip
RECENT = 256  # steps whose signals are kept
IMAGES_TO_ALWAYS = 100_000  # after which adaptive augmentation could have gone from never to always
PARTS = ("real", "fake", "again", "real_again")  # passes through the discriminator, each with its own augmentation


class GAN(keras.Model):
    """A generator and a discriminator that train each other, as one Keras model.

    `fit` on batches of real images calls `train_step`, which updates both networks: the discriminator and then the
    generator (`train_discriminator`, `train_generator`), or both from one pass (`train_simultaneously`). Beside them
    a third network is kept, `running_average`, in stock Keras layers, whose weights follow the generator's as a
    running average. A GAN's generator circles around its goal; the average stands nearer to it, so its faces are
    smoother and better, and it costs a few additions a step. Samples are drawn with `averaged_generator`, which is that
    average with batch statistics of its own.

    Latents and augmentation are functions of `(seed, number of updates)`, so that a resumed run draws what one never
    stopped would.

    With networks that take attributes it is conditional: batches are then `(real_images, attributes)`, see
    `face_batches`, and beside latents the generator is given rows of the data's labels, drawn likewise. Attributes so
    come in the combinations that the data has, as often as there.

    Args:
        generator: `keras.Model` from latents `(batch, latent_dim)` to images in [-1, 1].
        discriminator: `keras.Model` from images to scores `(batch, 1)`.
        seed: seed of the latents, at least 0. Defaults to `0`.
        averaging_half_life: images after which a past generator's share in the average has halved. Early in a run
            it is shortened to a share of the images seen, so that the first noise is soon forgotten.
            Defaults to `10_000`.
        averaging_share: that share, in (0, 1]. Defaults to `0.05`.
        augmentation: kinds of differentiable augmentation, see `augment`. Defaults to none.
        augmentation_target: makes augmentation adaptive: each kind is applied with a probability that begins at 0 and
            moves, by 1 in 100,000 images and up to 0.8, so that the mean sign of what the discriminator thinks of real
            images (1: it is sure of all) stays at this target, in (0, 1); 0.6 is the paper's, whose pace is a fifth of
            ours, for runs of days. Defaults to `None`: always applied.
        r1_weight: weight of `r1_penalty` in the discriminator's loss, at least 0. Defaults to `0`, off.
        r2_weight: weight of `r2_penalty`, likewise.
        gradient_penalty_weight: weight of `gradient_penalty`, likewise.
        penalty_every: take the penalties at one step in so many, as many times as strong: much cheaper, nearly as
            good. Defaults to `1`. Several replicas take them at every step, as strong as they are, where the
            discriminator has batch or spectral normalisation: a layer's state cannot be shared within a condition.
        labels: `Labels` of the data, for networks with attributes: what the generator's are drawn from. Gaps in them
            are filled from other pictures. Defaults to `None`.
        mismatch_weight: share, in [0, 1), of the loss at images that are not to be taken for real that is given to real
            images with another image's attributes. It teaches the discriminator at once that attributes matter. 0.5 is
            the paper's. Costs a pass through the discriminator. Defaults to `0`, off.

    Raises:
        ValueError: the networks do not fit each other or the labels, an augmentation that there is not, or a choice
            that makes no sense with another (each says why).

    Example:
        >>> gan = GAN(generator_model(100), discriminator_model())
        >>> gan.compile()
        >>> gan.fit(face_batches(images), steps_per_epoch=100, epochs=5)
        >>> faces = gan.averaged_generator(sample_latents(64))

    References: Goodfellow et al., "Generative Adversarial Networks", 2014; Yazici et al., "The Unusual Effectiveness
    of Averaging in GAN Training", 2019; the shortened half-life and adaptive augmentation: Karras et al., "Training
    Generative Adversarial Networks with Limited Data", 2020; penalties now and then: Karras et al., "Analyzing and
    Improving the Image Quality of StyleGAN", 2020; attributes that do not match: Reed et al., "Generative Adversarial
    Text to Image Synthesis", 2016.
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        seed=0,
        averaging_half_life=10_000,
        averaging_share=0.05,
        augmentation=(),
        augmentation_target=None,
        r1_weight=0.0,
        r2_weight=0.0,
        gradient_penalty_weight=0.0,
        penalty_every=1,
        labels=None,
        mismatch_weight=0.0,
    ):
        super().__init__(name="gan")
        (self.latent_dim, for_generator), (image_shape, for_discriminator) = _sides(generator), _sides(discriminator)
        if generator.output_shape[1:] != image_shape:
            raise ValueError(
                f"expected a discriminator for the generator's images {generator.output_shape[1:]}; received one for "
                f"{image_shape}; give both networks the same image_size"
            )
        given = 0 if labels is None else len(labels.attributes)
        if not 0 < averaging_share <= 1:
            raise ValueError(f"expected averaging_share in (0, 1]; received {averaging_share}; 0.05 is the usual one")
        if not for_generator == for_discriminator == given:
            raise ValueError(
                f"expected networks and labels of as many attributes; received a generator with {for_generator}, a "
                f"discriminator with {for_discriminator}, labels with {given}; give both networks "
                "attributes=len(labels.attributes), or none of the three any"
            )
        if not 0 <= mismatch_weight < 1 or (mismatch_weight and labels is None):
            raise ValueError(
                f"expected mismatch_weight in [0, 1), and 0 without attributes; received {mismatch_weight} with "
                f"{given} attributes; try 0.5 with labels, 0 without"
            )
        unknown = [kind for kind in augmentation if kind not in KINDS]
        if unknown:
            raise ValueError(f"expected augmentations of {', '.join(KINDS)}; received {unknown[0]!r}")
        self.generator = generator
        self.discriminator = discriminator
        self.running_average = stock_copy(generator)
        self.running_average.trainable = False
        self._settled, self._settled_at = None, None
        self.labels, self._table = None, None
        if labels is not None:  # what is kept beside a generator, so that whoever has it can draw rows
            self.labels = generator.labels = labels.excerpt()
            self._table = tf.constant(labels.filled(seed).values)
        if augmentation_target is not None and not (augmentation and 0 < augmentation_target < 1):
            raise ValueError(
                f"expected augmentation_target in (0, 1), with kinds of augmentation to adapt; received "
                f"{augmentation_target} with {augmentation or 'none'}; try 0.6 with {KINDS}"
            )
        weights = {"r1_weight": r1_weight, "r2_weight": r2_weight, "gradient_penalty_weight": gradient_penalty_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"expected {name} of at least 0; received {weight}; 0 leaves the penalty out")
        if not isinstance(penalty_every, int) or penalty_every < 1:
            raise ValueError(f"expected penalty_every as a whole number of at least 1; received {penalty_every!r}")
        if gradient_penalty_weight and has_layer(discriminator, "BatchNormalization"):
            raise ValueError(
                "expected a discriminator without batch normalisation for gradient_penalty_weight, which bounds the "
                "slope at each image by itself, while batch normalisation makes each logit depend on all images; "
                "received one with it; take normalisation='none' or 'spectral'"
            )
        self.augmentation = tuple(augmentation)
        self.augmentation_target = augmentation_target
        self.penalty_weights = weights
        self.penalty_every = penalty_every
        self.mismatch_weight = mismatch_weight
        self.seed = seed
        self.averaging_half_life = averaging_half_life
        self.averaging_share = averaging_share
        self.first_step = 0  # above 0 where it grew from a smaller one
        self.d_updates = keras.Variable(0, dtype="int64", trainable=False, name="d_updates")
        self.g_updates = keras.Variable(0, dtype="int64", trainable=False, name="g_updates")
        self.broken_at = keras.Variable(-1, dtype="int64", trainable=False, name="broken_at")
        self.adaptive = []  # how often to augment, and a running mean of real images' signs: state, where it is used
        if augmentation_target is not None:
            names = "augmentation_strength", "real_sign"
            self.adaptive = [keras.Variable(0.0, dtype="float32", trainable=False, name=name) for name in names]
        self.signals = None
        self.means = [keras.metrics.Mean(name) for name in ("d_loss", "g_loss", "real_score", "fake_score")]
        self.built = True

    def compile(
        self,
        g_optimizer=None,
        d_optimizer=None,
        *,
        loss="non_saturating",
        label_smoothing=0.0,
        simultaneous=False,
        **arguments,
    ):
        """Sets how both networks learn.

        Args:
            g_optimizer: the generator's Keras optimizer. Defaults to `Adam(2e-4, beta_1=0.5)` (Radford et al. 2015).
            d_optimizer: the discriminator's, another object. Defaults to the same settings.
            loss: a name in `LOSSES`: `"non_saturating"` (default), `"least_squares"`, `"hinge"`, `"wasserstein"`,
                `"relativistic"`, or `"probability"` for a discriminator that ends in a sigmoid.
            label_smoothing: one-sided smoothing of the real images' label, in [0, 0.5), see `non_saturating_d_loss`.
                Defaults to `0.0`.
            simultaneous: make a step of `train_simultaneously` instead of the two alternating halves, which is
                faster. Defaults to `False`.
            **arguments: passed on to `keras.Model.compile`. `jit_compile` defaults to `True` on a GPU and `False`
                elsewhere, since XLA makes these networks slower on CPUs.

        Raises:
            ValueError: a loss that there is not, one optimizer for both networks, or a choice that makes no sense with
                another (each says why).
        """
        if loss not in LOSSES:
            raise ValueError(f"expected a loss of {', '.join(LOSSES)}; received {loss!r}")
        self._check_loss(loss, label_smoothing, simultaneous)
        if g_optimizer is not None and g_optimizer is d_optimizer:
            raise ValueError(
                "expected two optimizers; received the same object twice; "
                "make one for each network, since an optimizer keeps slots for its own weights"
            )
        one = not tf.distribute.has_strategy()  # XLA compiles no exchange between replicas
        arguments.setdefault("jit_compile", one and bool(tf.config.list_physical_devices("GPU")))
        super().compile(**arguments)
        self.g_optimizer = g_optimizer or FusedAdam(2e-4, beta_1=0.5)
        self.d_optimizer = d_optimizer or FusedAdam(2e-4, beta_1=0.5)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.d_loss, self.g_loss = LOSSES[loss]
        if label_smoothing:
            self.d_loss = functools.partial(self.d_loss, label_smoothing=label_smoothing)
        self.loss_name = loss
        self.simultaneous = simultaneous

    def _check_loss(self, loss, label_smoothing, simultaneous):
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"expected label_smoothing in [0, 0.5); received {label_smoothing}; try 0.1")
        if label_smoothing and loss not in WITH_LABELS:
            raise ValueError(
                f"expected label_smoothing 0 with {loss}, which has no labels; received {label_smoothing}; "
                f"leave it out, or take a loss of {', '.join(WITH_LABELS)}"
            )
        if loss == "probability" and any(self.penalty_weights.values()):
            raise ValueError(
                f"expected no penalty with a discriminator that gives probabilities; received {self.penalty_weights}; "
                "the penalties are ones on logits: leave its sigmoid out, and take another loss"
            )
        if loss == "relativistic" and not simultaneous:
            raise ValueError(
                "expected simultaneous=True with relativistic, whose generator's loss needs real images too; received "
                "False, where train_generator sees none; set it, or take another loss"
            )
        if loss in WITHOUT_ZERO and self.augmentation_target is not None:
            raise ValueError(
                f"expected no augmentation_target with {loss}, whose logits have no zero, so that their sign says "
                f"nothing; received {self.augmentation_target}; leave it out, or take another loss"
            )
        bounded = any(self.penalty_weights.values()) or has_layer(self.discriminator, "Spectral")
        if loss == "wasserstein" and not bounded:
            raise ValueError(
                "expected a discriminator of bounded slope with wasserstein, whose loss would fall without end; "
                "received one with neither penalty nor spectral normalisation; try gradient_penalty_weight=10 with "
                "normalisation='none', or normalisation='spectral'"
            )

    def keep_signals(self):
        """From now on keeps the `SIGNALS` of the last `RECENT` steps, for who watches over the training."""
        if self.signals is None:
            self.signals = tf.Variable(tf.fill((RECENT, len(SIGNALS)), float("nan")), trainable=False, name="signals")
            self.train_function = None  # is traced anew, with them

    @property
    def metrics(self):
        return self.means

    @property
    def step(self):
        """Updates of both networks so far, an `int`."""
        return int(self.g_updates.numpy())

    @property
    def averaged_generator(self):
        """The running average of the generator, with batch statistics of its own; one model, the same at every look."""
        if self._settled is None:
            self._settled = Settled(self.running_average, self._fixed_inputs)
            self._settled.network.labels = self.labels
        if self._settled_at != self.step:
            self._settled.follow()
            self._settled_at = self.step
        return self._settled.network

    def averages_changed(self):
        """Says that the running average was given other weights than those of its last step."""
        self._settled_at = None

    def call(self, latents, training=False):
        """Faces of the averaged generator: float32 `(batch, height, width, 3)` in [-1, 1].

        With attributes `latents` is a list of latents and attributes.
        """
        network = self.averaged_generator if tf.executing_eagerly() else self.running_average
        return network(latents, training=training)

    def train_step(self, batch):
        real_images, attributes = batch if self.labels is not None else (batch, None)
        if self.simultaneous:
            results = self.train_simultaneously(real_images, attributes)
        else:
            results = self.train_discriminator(real_images, attributes)
            results |= self.train_generator(tf.shape(real_images)[0])
        results = results_of_all(results)
        for mean in self.means:
            mean.update_state(results[mean.name])
        self._watch(results)
        if self.signals is not None:
            row = tf.stack([tf.cast(results[name], tf.float32) for name in SIGNALS])
            self.signals.scatter_update(tf.IndexedSlices(row, (tf.convert_to_tensor(self.g_updates) - 1) % RECENT))
        return {mean.name: mean.result() for mean in self.means}

    def train_discriminator(self, real_images, attributes=None):
        """One update of the discriminator: the first half of an alternating step.

        Real and fake images pass through it apart, each with their own batch statistics.

        Args:
            real_images: float32 `(batch, height, width, 3)` in [-1, 1].
            attributes: float32 `(batch, n)` in [-1, 1], NaN where unknown, for networks with attributes.

        Returns:
            `dict` of float scalars: `d_loss`, and `real_score` and `fake_score`, the mean probability in [0, 1] that
            it gives real and fake images.
        """
        latents, wanted = self._drawn(0, self.d_updates, tf.shape(real_images)[0])
        fake_images = self.generator(network_inputs(latents, wanted), training=True)
        return self._learn_to_tell(real_images, fake_images, attributes, wanted)

    def train_generator(self, batch_size):
        """One update of the generator, and of its average: the second half of an alternating step.

        Args:
            batch_size: how many images to generate for it.

        Returns:
            `dict` with the float scalar `g_loss`.
        """
        latents, wanted = self._drawn(1, self.g_updates, batch_size)
        with tf.GradientTape() as tape:
            fake_images = self.generator(network_inputs(latents, wanted), training=True)
            g_loss = self.g_loss(self._discriminate(fake_images, "again", wanted))
            goal = self.g_optimizer.scale_loss(g_loss)
        gradients = tape.gradient(goal, self.generator.trainable_variables)
        return {"g_loss": g_loss} | self._learn_to_pass(gradients, batch_size)

    def train_simultaneously(self, real_images, attributes=None):
        """One update of both networks from one generator pass: the same images serve both networks' gradients.

        It saves one of the two generator passes of the alternating halves, a twelfth of the arithmetic. What differs:
        the generator learns from the very images that the discriminator has just learnt from, not from others. The
        discriminator is updated first, as there, and the generator answers the updated one. (Both gradients taken from
        the old weights would save as much again, but after as many steps the faces are measurably worse: the generator
        always answers a discriminator that has moved on.)

        Args:
            real_images: float32 `(batch, height, width, 3)` in [-1, 1].
            attributes: float32 `(batch, n)` in [-1, 1], NaN where unknown, for networks with attributes.

        Returns:
            `dict` of float scalars: `d_loss`, `g_loss`, `real_score`, `fake_score`.
        """
        batch_size = tf.shape(real_images)[0]
        latents, wanted = self._drawn(0, self.d_updates, batch_size)
        with tf.GradientTape() as g_tape:
            fake_images = self.generator(network_inputs(latents, wanted), training=True)
            results = self._learn_to_tell(real_images, tf.stop_gradient(fake_images), attributes, wanted)
            logits = [self._discriminate(fake_images, "again", wanted)]
            if self.loss_name == "relativistic":
                real_again = self._discriminate(real_images, "real_again", _known(attributes))
                logits.append(tf.stop_gradient(real_again))
            g_loss = self.g_loss(*logits)
            goal = self.g_optimizer.scale_loss(g_loss)
        gradients = g_tape.gradient(goal, self.generator.trainable_variables)
        return results | {"g_loss": g_loss} | self._learn_to_pass(gradients, batch_size)

    def _learn_to_tell(self, real_images, fake_images, attributes=None, wanted=None):
        """The discriminator's update; `wanted` are the attributes that the fake images were made with."""
        known = _known(attributes)
        with tf.GradientTape() as tape:
            real_logits = self._discriminate(real_images, "real", known)
            fake_logits = self._discriminate(fake_images, "fake", wanted)
            d_loss = self.d_loss(real_logits, fake_logits)
            if self.mismatch_weight:
                mismatched = self._mismatched(real_images, attributes, fake_logits)
                d_loss += self.mismatch_weight * (self.d_loss(real_logits, mismatched) - d_loss)
            d_loss += self._penalty(real_images, fake_images, known, wanted)
            goal = self.d_optimizer.scale_loss(d_loss)
        weights = self.discriminator.trainable_variables
        gradients = tape.gradient(goal, weights)
        gradients = apply_mean(self.d_optimizer, gradients, weights)
        real_scores, fake_scores = scores(self.loss_name, real_logits, fake_logits)
        if self.adaptive:
            self._adapt(real_scores)
        self.d_updates.assign_add(1)
        results = {"d_loss": d_loss, "real_score": tf.reduce_mean(real_scores)}
        results["fake_score"] = tf.reduce_mean(fake_scores)
        if self.signals is not None:
            results["d_gradient_norm"] = _norm(gradients, self.d_optimizer)
            for name, images in (("real", real_images), ("fake", fake_images)):
                results |= {f"{name}_low": tf.reduce_min(images), f"{name}_high": tf.reduce_max(images)}
        return results

    def _learn_to_pass(self, gradients, batch_size):
        """The generator's update, and its average's."""
        gradients = apply_mean(self.g_optimizer, gradients, self.generator.trainable_variables)
        self.g_updates.assign_add(1)
        self._update_average(batch_size * replica_count())
        return {} if self.signals is None else {"g_gradient_norm": _norm(gradients, self.g_optimizer)}

    def _mismatched(self, real_images, attributes, fake_logits):
        """Logits of real images with their neighbours' attributes; of fake ones where those are known to be no others.

        Both parts of the loss are then means over as many images, whatever the loss is."""
        others = neighbours(attributes)
        differ = tf.reduce_any(tf.abs(attributes - others) > 0, axis=1, keepdims=True)  # NaN is no difference
        return tf.where(differ, self._discriminate(real_images, "real", _known(others)), fake_logits)

    def _discriminate(self, images, part, attributes=None):
        if self.augmentation:
            uniforms = drawn(tf.random.stateless_uniform, (tf.shape(images)[0], WIDTH), self._seed(part))
            if self.adaptive:  # at strength 0 nothing is to do, and nothing is paid
                strength = tf.convert_to_tensor(self.adaptive[0])
                augmented = functools.partial(augment, images, uniforms, self.augmentation, strength)
                images = tf.cond(strength > 0, augmented, functools.partial(tf.identity, images))
            else:
                images = augment(images, uniforms, self.augmentation)
        return self.discriminator(network_inputs(images, attributes), training=True)

    def _adapt(self, real_scores):
        """Augments more often while the discriminator is surer of real images than the target, else less often."""
        strength, real_sign = self.adaptive
        sign = mean_over_replicas(tf.reduce_mean(tf.sign(tf.cast(real_scores, tf.float32) - 0.5)))
        real_sign.assign(tf.where(self.d_updates > 0, 0.9 * real_sign + 0.1 * sign, sign))
        batch_size = tf.cast(tf.shape(real_scores)[0] * replica_count(), tf.float32)
        move = tf.sign(real_sign - self.augmentation_target) * batch_size / IMAGES_TO_ALWAYS
        strength.assign(tf.clip_by_value(strength + move, 0.0, 0.8))  # beyond 0.8 what is augmented leaks into samples

    def _penalty(self, real_images, fake_images, known=None, wanted=None):
        """The penalties' weighted sum, at one step in `penalty_every`."""
        if not any(self.penalty_weights.values()):
            return 0.0
        given = real_images, fake_images, known, wanted
        state = has_layer(self.discriminator, "BatchNormalization") or has_layer(self.discriminator, "Spectral")
        if self.penalty_every == 1 or (state and replica_count() > 1):
            in_step()  # within, layers have another precision
            penalty = self._penalty_now(*given)
            in_step()
            return penalty
        due = tf.equal(tf.convert_to_tensor(self.d_updates) % self.penalty_every, 0)
        return tf.cond(due, lambda: self.penalty_every * self._penalty_now(*given), lambda: 0.0)

    def _penalty_now(self, real_images, fake_images, known, wanted):
        total = 0.0
        if self.penalty_weights["r1_weight"]:
            total += self.penalty_weights["r1_weight"] * r1_penalty(self._slopes(real_images, "real", known))
        if self.penalty_weights["r2_weight"]:
            total += self.penalty_weights["r2_weight"] * r2_penalty(self._slopes(fake_images, "fake", wanted))
        if self.penalty_weights["gradient_penalty_weight"]:
            shape = tf.shape(real_images)[0], 1, 1, 1
            uniforms = drawn(tf.random.stateless_uniform, shape, self._seed("real")[::-1])
            between = interpolated(real_images, fake_images, uniforms)
            if known is not None:
                known = interpolated(known, wanted, uniforms[:, :, 0, 0])
            slopes = self._slopes(between, "real", known)
            total += self.penalty_weights["gradient_penalty_weight"] * gradient_penalty(slopes)
        return total

    def _slopes(self, images, part, attributes):
        """Each logit's gradient by its image, in float32 whatever the precision: squares overflow in 16 bits."""
        with tf.GradientTape() as tape, in_float32(self.discriminator):
            tape.watch(images)
            total = tf.reduce_sum(self._discriminate(images, part, attributes))
        return tape.gradient(total, images)

    def _watch(self, results):
        """Notes the first step at which a loss or a weight stopped being finite; callbacks read it when they like."""
        sums = [tf.reduce_sum(weight) for network in (self.generator, self.discriminator) for weight in network.weights]
        finite = tf.math.is_finite(tf.add_n(sums)) & tf.math.is_finite(results["d_loss"] + results["g_loss"])
        first = tf.logical_and(self.broken_at < 0, tf.logical_not(finite))
        self.broken_at.assign(tf.where(first, self.g_updates, self.broken_at))

    def _update_average(self, batch_size):
        """Weights move towards the generator's by `1 - decay`."""
        batch = tf.cast(batch_size, tf.float32)
        seen = batch * tf.cast(tf.convert_to_tensor(self.g_updates), tf.float32)
        half_life = tf.minimum(float(self.averaging_half_life), seen * self.averaging_share)
        keep = tf.pow(0.5, batch / half_life)
        for average, current in zip(self.running_average.weights, self.generator.weights, strict=True):
            average.assign(current + (average - current) * keep)

    def _drawn(self, half, updates, batch_size):
        """Latents of a half of this step, and the attributes beside them, `None` where there are none."""
        return self._latents(2 * tf.convert_to_tensor(updates) + half, batch_size)

    def _fixed_inputs(self, number, count):
        return network_inputs(*self._latents(2**62 + number, count))

    def _latents(self, number, batch_size):
        latents = drawn(tf.random.stateless_normal, (batch_size, self.latent_dim), self._pair(self.seed, number))
        if self.labels is None:
            return latents, None
        # A seed counted down from the least, which no latents and, in a training's length, no augmentation have.
        seed, count = self._pair(tf.int64.min + self.seed, number), tf.shape(self._table, tf.int64)[0]
        rows = drawn(tf.random.stateless_uniform, (batch_size,), seed, 0, count, tf.int64)
        return latents, tf.gather(self._table, rows)

    def _pair(self, seed, number):
        return tf.stack([tf.constant(seed, tf.int64), number])

    def _seed(self, part):
        """The seed of a part's augmentation at this step, apart from those of latents and of other parts."""
        updates = self.g_updates if part.endswith("again") else self.d_updates
        return self._pair(-1 - self.seed, len(PARTS) * tf.convert_to_tensor(updates) + PARTS.index(part))


def _sides(network):
    """What a network takes: the latents' width, or the images' shape, and how many attributes beside."""
    shapes = network.input_shape if isinstance(network.input_shape, list) else [network.input_shape]
    main = shapes[0][1:]
    return main[0] if len(main) == 1 else main, shapes[1][-1] if len(shapes) > 1 else 0


def _known(attributes):
    """What is not known becomes 0, which adds nothing to a projection."""
    return attributes if attributes is None else tf.where(tf.math.is_nan(attributes), 0.0, attributes)


def _norm(gradients, optimizer):
    """Of all gradients together, without the scale that keeps float16's small ones alive."""
    return tf.linalg.global_norm(gradients) / tf.cast(optimizer.scale_loss(1.0), tf.float32)


def has_layer(network, kind):
    """Whether a network has a layer whose type's name holds `kind`, such as `"BatchNormalization"` or `"Spectral"`."""
    return any(kind in type(layer).__name__ for layer in network.layers)
