"""The other side of `make bench-peers`: what people use otherwise, on the same numbers and topic.

Says which modules there are, then answers each line on standard input with one line:

    lanes FILE DEVICES       reads four columns of ticks, forgets all statistics -> ok
    rounds N                 N rounds of the lane statistics -> SECONDS PRESENT UNUSUAL SHIFTED STALE
    loop MODE BROKERS TOPIC PARTITIONS MESSAGES
                             reads the topic to its end; MODE is count or full -> MESSAGES/S

Seconds of statistics are of processor time, as on our side; those of loops are of the clock.
"""

import importlib
import sys
import time


def module(name):
    try:
        found = importlib.import_module(name)
        print(name, getattr(found, "__version__", "of an unknown version"), flush=True)
        return found
    except ImportError:
        print(name, flush=True)
        return None


print("Python", sys.version.split()[0], flush=True)
numpy = module("numpy")
orjson = module("orjson")
kafka = module("confluent_kafka")
print("ready", flush=True)


class Lanes:
    """The lane statistics of every device at once: the arithmetic of the kernel, by arrays."""

    def __init__(self, path, devices):
        f = numpy.float32
        self.columns = numpy.fromfile(path, f).reshape(4, devices, 16)
        shape = (devices, 16)
        self.last, self.mean, self.slow_mean = (numpy.full(shape, f("nan")) for _ in range(3))
        self.seen = numpy.zeros(shape, numpy.int32)
        self.variance, self.slow_variance, self.up, self.down = (
            numpy.zeros(shape, f) for _ in range(4))
        self.round = 0

    def tick(self):
        f = numpy.float32
        self.round += 1
        raw = self.columns[self.round % 4]
        now = numpy.int32(self.round * 10_000)
        given = raw == raw
        fresh = (self.mean != self.mean) & given
        value = numpy.clip(raw, -f(2.0**62), f(2.0**62))
        step = (now - self.seen).astype(f)
        behind = (step <= 0) & (step > -3_600_000)
        active = given & ~behind & ~fresh
        elapsed = numpy.abs(step) * f(0.001)
        deviation = numpy.sqrt(self.slow_variance + f(1e-12))
        distance = value - self.slow_mean
        z = distance / deviation
        unusual = numpy.abs(z) > 5
        minutes = numpy.minimum(elapsed, f(60)) * f(1 / 60)
        evidence = numpy.clip(z, f(-10), f(10))
        up = numpy.clip(self.up + (evidence - f(1)) * minutes, f(0), f(60))
        down = numpy.clip(self.down - (evidence + f(1)) * minutes, f(0), f(60))
        shifted = numpy.maximum(up, down) > 30
        limit = f(6) * deviation
        clipped = numpy.clip(distance, -limit, limit)
        weight = numpy.minimum(elapsed / (f(3_600) + elapsed), f(0.125))
        slow = numpy.where(unusual, weight * f(0.125), weight)
        slow_step = slow * clipped
        fast = elapsed / (f(120) + elapsed)
        d = value - self.mean
        fast_step = fast * d
        used = active | fresh
        for state, new, first in (
            (self.variance, (f(1) - fast) * (self.variance + fast_step * d), 0),
            (self.slow_variance,
             (f(1) - slow) * (self.slow_variance + slow_step * clipped), 1),
            (self.mean, self.mean + fast_step, None),
            (self.slow_mean, self.slow_mean + slow_step, None),
            (self.up, up, 0), (self.down, down, 0),
        ):
            numpy.copyto(state, new, where=active)
            numpy.copyto(state, value if first is None else f(first), where=fresh)
        numpy.copyto(self.last, value, where=used)
        numpy.copyto(self.seen, now, where=used)
        return used, unusual & active, shifted & active, given & behind & ~fresh


class Loop:
    """Poll in batches, parse, and keep a mean, a variance and z of every number of a device.

    Far less than our side does: no identity, units, ranges, rates, gates, peers or rules; and a
    device that occurs twice in a batch counts once, which flatters it.
    """

    def __init__(self, mode, brokers, topic, partitions, total):
        self.mode, self.total = mode, total
        self.consumer = kafka.Consumer({
            "bootstrap.servers": brokers, "group.id": "peer-%d" % time.monotonic_ns(),
            "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "queued.min.messages": 10_000_000, "queued.max.messages.kbytes": 2_097_151})
        self.consumer.assign([
            kafka.TopicPartition(topic, number, kafka.OFFSET_BEGINNING)
            for number in range(partitions)])

    def run(self):
        seen, start, devices = 0, None, {}
        if self.mode == "full":
            mean = numpy.zeros((8_192, 64), numpy.float32)
            variance = numpy.ones((8_192, 64), numpy.float32)
        unusual = 0
        while seen < self.total:
            messages = self.consumer.consume(2_000, 1.0)
            if messages and start is None:
                start = time.perf_counter()
            rows, places = [], []
            for message in messages:
                if message.error():
                    continue
                seen += 1
                if self.mode == "count":
                    continue
                tick = orjson.loads(message.value())
                values = [float(v) for v in tick["m"].values() if v.__class__ in (int, float)]
                rows.append((values + [float("nan")] * 64)[:64])
                places.append(devices.setdefault(tick["device"], len(devices)))
            if rows:
                x = numpy.array(rows, numpy.float32)
                at = numpy.array(places)
                m, v = mean[at], variance[at]
                d = x - m
                unusual += int((numpy.abs(d / numpy.sqrt(v + 1e-12)) > 5).sum())
                mean[at] = numpy.where(d == d, m + 0.05 * d, m)
                variance[at] = numpy.where(d == d, 0.95 * (v + 0.05 * d * d), v)
        rate = seen / (time.perf_counter() - start)
        self.consumer.close()
        return rate


lanes = None
for line in sys.stdin:
    words = line.split()
    if words[0] == "lanes":
        lanes = Lanes(words[1], int(words[2]))
        print("ok", flush=True)
    elif words[0] == "rounds":
        with numpy.errstate(all="ignore"):
            start = time.process_time()
            for _ in range(int(words[1])):
                flags = lanes.tick()
            elapsed = time.process_time() - start
        print(elapsed, *(int(flag.sum()) for flag in flags), flush=True)
    elif words[0] == "loop":
        print(Loop(words[1], words[2], words[3], int(words[4]), int(words[5])).run(), flush=True)
