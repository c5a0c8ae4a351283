/// How a topic is read; the bounds protect months of memory from one bad producer.
package struct DecoderSettings: Sendable {
    /// Kafka's own default of 1 MB; a larger message is refused unread.
    package var messageBytesMax = 1 << 20
    /// No producer nests deeper than 8.
    package var depthMax = 32
    /// An event time further ahead of the clock than this is a broken clock.
    package var futureSkew: Duration = .seconds(60)
    package var timestampUnit = TimestampUnit.automatic
    /// Formats whose unknown names become opaque series instead of being counted and dropped.
    package var opaqueFormats: Set<WireFormat> = [.native]
    /// Labels for devices whose producer does not say where they are.
    package var cluster = ""
    package var region = ""
    /// About 500 bytes stand behind each label set of a topic; beyond, all are forgotten and read again.
    package var labelSetsMax = 2_097_152
    package var labelBytesMax = 512 << 20
    /// Distinct names of metrics; a site has hundreds.
    package var namesMax = 16_384
    /// Literal bytes of learned layouts; a kind of message takes about as many as it is long.
    package var shapeBytesMax = 1 << 16
    /// Numbers kept between messages for sums, quotients and sticky faults; 48 bytes each.
    package var rememberedMax = 4_000_000
    /// Faults taken from one message.
    package var faultsPerMessageMax = 256
    /// Whether messages of known keys are read without a tape; a test compares both ways.
    package var readsDirectly = true
    /// Bits of a hash that count; a test sets none, so that every hash collides.
    package var hashMask: UInt64 = .max

    package init() {}
}

/// What a decoder says of itself, beyond the tally of its batches.
package struct DecoderStatistics: Sendable, Equatable {
    package var messages: UInt64 = 0
    package var undecodable: UInt64 = 0
    /// Label sets known by their bytes, and those that had to be read.
    package var labelHits: UInt64 = 0
    package var labelMisses: UInt64 = 0
    /// Messages that were laid out as one before them, and read the short way.
    package var shapeHits: UInt64 = 0
    /// Messages whose keys and labels were known, and that needed no tape.
    package var memberHits: UInt64 = 0
    /// How often there were too many layouts to remember.
    package var shapeClears: UInt64 = 0
    /// How often the tables of label sets and of names were full and started afresh.
    package var labelClears: UInt64 = 0
    package var nameClears: UInt64 = 0
    /// Numbers not remembered because the bound was reached.
    package var memoryRefused: UInt64 = 0

    package init() {}
}
