//! The rules that can be left out, and the name that each has in the stories of the cache.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A purge is in force, and acknowledged, only when it is on stable storage (`AckBeforeFsync`).
    SyncBeforeForce,
    /// The watermark is what is in force, not what was appended (`PosAppended`).
    WatermarkInForce,
    /// The watermark is taken when the fetch is sent, not when it is answered
    /// (`WatermarkAtResponse`).
    WatermarkAtSend,
    /// A hard position is kept beside a later soft one (`OneLiveValue`).
    HardBesideSoft,
    /// A lookup compares (`LookupNoCheck`).
    LookupCompares,
    /// Who joins a fetch that was sent compares with it (`JoinUnchecked`).
    JoinCompares,
    /// Who joined compares again when the tags are known (`JoinUrlOnly`).
    JoinComparesTags,
    /// Also with soft purges (`SoftJoinFresh`).
    JoinComparesSoft,
    /// A 304 is used only if no hard purge after the base's own watermark selects the base
    /// (`MergeNoBaseCheck`).
    BaseIsCompared,
    /// What a hard purge selects is never the base of a condition (`CondAfterHard`).
    NoHardBase,
    /// A 304 is merged into its own base only (`MergeAnyRecord`).
    OwnBase,
    /// Tags after a 304 are the union (`MergeReplacesTags`).
    UnionOfTags,
    /// Each who waited for a 304 compares for itself (`WaitersByLeader304`).
    WaitersCompare,
    /// Each who is given stale content for an error compares for itself (`SieUnchecked`).
    StaleOnErrorCompares,
    /// Going on with a range keeps the watermark of the beginning (`ResumeRaises`).
    ResumeKeepsWatermark,
    /// Entries are forgotten only below a floor (`CompactMemOnlyNoFloor`).
    FloorBeforeForgetting,
    /// The floor is durable (`FloorVolatile`).
    FloorIsDurable,
    /// The ledger is replayed before anything is served (`ServeBeforeReplay`).
    ReplayBeforeServing,
    /// A child keeps the lower of both watermarks (`OwnWatermark`).
    MinimumOfBoth,
    /// The lower watermark governs what is served, not only what is stored
    /// (`StoreMinServeUnchecked`).
    MinimumGovernsServing,
    /// A parent states what the bytes were fetched under, not what it knows (`ParentKnows`).
    ParentStatesUsed,
    /// Without a statement the parent's answer is worth nothing (`MissingFieldIsOrigin`).
    SilenceIsZero,
    /// A 304 of a parent states the watermark of its validation (`P304NoMark`).
    ValidationIsStated,
    /// Watermarks of different ledgers do not compare (`NoIdCompare`).
    LedgerIsCompared,
}

impl Rule {
    /// Those of one node.
    pub const OF_A_NODE: [Self; 18] = [
        Self::SyncBeforeForce,
        Self::WatermarkInForce,
        Self::WatermarkAtSend,
        Self::HardBesideSoft,
        Self::LookupCompares,
        Self::JoinCompares,
        Self::JoinComparesTags,
        Self::JoinComparesSoft,
        Self::BaseIsCompared,
        Self::NoHardBase,
        Self::OwnBase,
        Self::UnionOfTags,
        Self::WaitersCompare,
        Self::StaleOnErrorCompares,
        Self::ResumeKeepsWatermark,
        Self::FloorBeforeForgetting,
        Self::FloorIsDurable,
        Self::ReplayBeforeServing,
    ];

    /// Those of a child that fetches from a parent.
    pub const OF_A_FLEET: [Self; 6] = [
        Self::MinimumOfBoth,
        Self::MinimumGovernsServing,
        Self::ParentStatesUsed,
        Self::SilenceIsZero,
        Self::ValidationIsStated,
        Self::LedgerIsCompared,
    ];
}
