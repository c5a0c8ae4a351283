#!/bin/sh
# Creates the topics that Tocsin writes; the daemon itself never creates one.
#
#   deploy/topics.sh BOOTSTRAP [REPLICATION]      needs Kafka's kafka-topics.sh on PATH
#   KAFKA_TOPICS="docker exec kafka kafka-topics.sh" deploy/topics.sh BOOTSTRAP
set -eu
bootstrap=${1:?usage: topics.sh BOOTSTRAP [REPLICATION]}
replication=${2:-3}
tool=${KAFKA_TOPICS:-kafka-topics.sh}

create() { # create NAME PARTITIONS CONFIG...
    name=$1 partitions=$2; shift 2
    $tool --bootstrap-server "$bootstrap" --create --if-not-exists --topic "$name" \
        --partitions "$partitions" --replication-factor "$replication" "$@"
}

# A month of pages: the public feed, keyed by incident so that one incident stays in order.
create tocsin.alerts 4 --config retention.ms=2592000000 --config max.message.bytes=1048588
# A week to look at what could not be read.
create tocsin.dlq 4 --config retention.ms=604800000 --config max.message.bytes=2097152
# The native telemetry topic, if you publish to it: key = device id, partitions fixed for good.
create accel.telemetry.v1 12 --config retention.ms=172800000 --config compression.type=producer
