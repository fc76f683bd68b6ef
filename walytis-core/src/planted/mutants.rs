//! Checks whose loss would be grave, and the named test that notices when one is taken out.
//!
//! Each entry says what the check keeps up, the name under which it is taken out, and the test: package, target (`lib` for
//! the tests inside of a library), and the test's own path. `cargo xtask mutants` runs each test with and without its
//! mutant; `cargo xtask tidy` refuses an entry whose check or test is gone, and compares docs/mutants.md with this list.

use super::Fault;

/// Makes the enum, the list of all and their names from one list.
macro_rules! mutants {
    ($($(#[$doc:meta])+ $name:ident: $test:path,)+) => {
        /// A check that can be taken out. Each says what it keeps up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[$doc])+ $name,)+
        }

        impl Mutant {
            /// Every mutant, in the order of this file.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name, as it is written in the code.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

impl Mutant {
    /// The mutant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}

/// Makes a list of planted bugs. All of them, which the swarm has to find, are [`Fault::ALL`].
macro_rules! noticed {
    ($($(#[$doc:meta])+ $name:ident: $test:path,)+) => {
        /// The planted bugs that a named test notices, too.
        pub const NOTICED: &[Fault] = &[$(Fault::$name,)+];
    };
}

mutants! {
    // Blocks and encodings.

    /// A block is signed in the suite of its kind, so that no operation does without its hybrid half.
    AcceptAnySuite: walytis_core::header_rules::each_rule_of_a_header_is_kept,
    /// A header names at most 64 heads of other chains, each once and in order.
    AcceptAnyForeign: walytis_core::header_rules::each_rule_of_a_header_is_kept,
    /// Only a block of public content shows topics.
    ShowPrivateTopics: walytis_core::header_rules::each_rule_of_a_header_is_kept,
    /// An author's first block, and no other, has the number 0.
    AcceptAnyFirstNumber: walytis_core::header_rules::each_rule_of_a_header_is_kept,
    /// The block behind which an author says that it writes is its own.
    FollowAnyAuthor: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// The format of a block is not older than that of its parents.
    AcceptOlderFormat: walytis_engine::public_chains::upgrade::a_format_that_does_not_fit_its_parents_is_refused,
    /// The root over a block's ancestors in the newer hash is the one that they give.
    SkipAncestry: walytis_engine::public_chains::upgrade::a_format_that_does_not_fit_its_parents_is_refused,
    /// An encoding is of the version that its reader knows.
    AcceptAnyVersion: walytis_core::lib::codec::tests::only_the_one_encoding_is_accepted,
    /// The Ed25519 half of a device's signature holds.
    SkipEd25519Half: walytis_core::lib::keys::tests::both_halves_must_hold,
    /// The ML-DSA half of a device's signature holds.
    SkipMlDsaHalf: walytis_core::lib::keys::tests::both_halves_must_hold,
    /// The checksum of a code that a person copied is right.
    SkipChecksum: walytis_identities::lib::invitation::tests::every_single_damaged_character_is_noticed,

    // Limits on what peers send.

    /// What waits for its parents takes at most 4 MiB of each peer.
    ForgetOrphanQuota: walytis_engine::lib::orphans::tests::a_flood_of_orphans_fills_only_its_senders_quota,
    /// What waits for its parents keeps to a bound over all peers.
    ForgetOrphanBound: walytis_engine::lib::orphans::tests::a_bound_for_all_takes_from_who_sent_most,
    /// A list has at most as many elements as it may.
    AcceptLongLists: walytis_offchain::messages::a_greeting_has_a_bounded_number_of_addresses,
    /// Whoever nobody knows begins at most 16 handshakes over a connection.
    ForgetHandshakes: offchain_testkit::peers::whoever_nobody_knows_begins_only_so_many_handshakes,
    /// Who proves nothing is answered 16 times over all its connections, and then once in 10 s.
    ForgetAttempts: offchain_testkit::first_flights::f15_whoever_proves_nothing_is_answered_less_and_less_over_all_connections,
    /// Frames that belong to no session end the connection after a few.
    ForgetStrays: offchain_testkit::peers::membership_is_checked_for_each_request_served,
    /// What strangers send is paid for before it is decoded.
    ReadUnpaid: walytis_engine::public_chains::decoding::a_stranger_is_read_no_further_than_it_has_paid,
    /// An address at which nobody was ever reached is dialled a few times.
    DialForEver: walytis_engine::public_chains::strangers::an_address_at_which_nobody_was_ever_reached_is_dialled_a_few_times_and_forgotten,
    /// A greeting does not tell how many chains are followed.
    ShowChainCount: walytis_engine::public_chains::strangers::a_greeting_does_not_tell_how_many_chains_are_followed,
    /// The keys of one address have an eighth of the places.
    CrowdOneAddress: offchain_net::lib::places::tests::many_keys_of_one_address_hold_an_eighth_of_the_places,
    /// Sockets that say nothing make room for others.
    KeepSilent: offchain_net::lib::handshakes::tests::silent_sockets_of_two_addresses_keep_no_third_one_out,
    /// Whose keys are free leave a fourth of the places to members.
    FillAllPlaces: offchain_net::lib::places::tests::whose_keys_are_free_leave_a_fourth_to_members,
    /// One neighbourhood has a part of what a lookup server remembers.
    FillLookups: offchain_net::lib::lookup_table::tests::who_fills_a_lookup_server_from_one_neighbourhood_leaves_room_for_others,
    /// What was dialled from an address that this machine lost ends.
    KeepLostAddress: offchain_net::lib::sockets::tests::a_socket_fails_when_its_own_address_is_lost_and_no_other_does,
    /// A peer of whom nothing is heard is let go.
    WaitForSilent: offchain_net::lib::sockets::tests::a_silent_peer_is_given_up_in_time_whatever_is_written_to_it,
    /// A frame has at most 2 MiB, as its length says before anything is allocated.
    ReadAnyFrame: offchain_net::lib::wire::tests::streams_are_read_frame_by_frame,
    /// Only the peer with the smaller key opens a stream of frames.
    AnyoneOpens: offchain_net::lib::links::tests::the_smaller_key_opens_one_stream_on_its_first_connection,
    /// At most 8 MiB wait for a peer that is too slow.
    WaitForSlow: walytis_node::lib::outbox::tests::a_slow_peer_holds_up_nobody_else_and_is_let_go_at_its_bound,

    // Public chains.

    /// A block that comes for a chain is on that chain.
    TakeOtherChains: walytis_engine::public_chains::attacks::attack_12_the_history_of_another_chain_is_not_joined,
    /// A chain keeps to its limit of bytes.
    ForgetChainSize: walytis_engine::public_chains::rules::a_full_chain_takes_nothing_by_others,
    /// In the second half of a chain's room only those write who were there before a quarter was taken.
    CountLateAsEarly: walytis_engine::public_chains::early::who_came_after_a_quarter_has_no_room_in_the_second_half,
    /// Each early author has a share of the second half of a chain's room.
    ForgetEarlyShare: walytis_engine::public_chains::early::one_author_that_was_there_early_has_a_share_of_the_second_half_and_no_more,
    /// What comes into the second half only because others build on it has a share of it.
    ForgetBelowShare: walytis_engine::public_chains::early::what_an_early_author_builds_on_has_a_share_too,
    /// An author's blocks are taken at the pace that the chain's rules set.
    ForgetAuthorPace: walytis_engine::public_chains::rules::an_author_that_floods_is_made_to_wait_and_others_are_not,
    /// A blocked peer is neither served nor let in.
    ServeBlocked: walytis_engine::public_chains::rules::who_is_let_in_no_more_stays_connected_and_falls_silent,
    /// Where only invited ones are served, others are not.
    ServeUninvited: walytis_engine::public_chains::rules::who_is_not_invited_is_not_served_where_only_invited_ones_are,
    /// A blocked author's blocks are not taken by themselves.
    TakeBlocked: walytis_engine::public_chains::rules::a_blocked_author_is_taken_only_below_others_and_never_shown,
    /// Who is let in by an invitation knows its secret.
    AdmitWithoutSecret: walytis_engine::public_chains::rules::invitations_are_enforced_listed_and_revoked,
    /// An invitation whose uses are spent lets nobody in.
    AdmitBySpent: walytis_engine::public_chains::rules::invitations_are_enforced_listed_and_revoked,
    /// Nobody is let in where it cannot be noted that an invitation was used.
    AdmitWithoutRoom: walytis_engine::public_chains::strangers::an_inviter_whose_disk_is_full_says_so,
    /// Whoever was let in and comes back is not forgotten before those who stay away.
    ForgetWhoComesBack: walytis_engine::public_chains::strangers::who_comes_back_is_not_forgotten_before_those_who_stay_away,
    /// The mark of a chain is worth nothing but from its sender.
    MarkForAnyone: walytis_engine::lib::public::message::tests::a_mark_and_a_proof_are_for_two_peers_and_one_chain,
    /// The proof of an invitation is worth nothing but from its joiner.
    ProveForAnyone: walytis_engine::lib::public::message::tests::a_mark_and_a_proof_are_for_two_peers_and_one_chain,
    /// A greeting has a bounded number of marks, each once and in order.
    HearAnyMarks: walytis_engine::lib::public::message::tests::messages_have_one_encoding_and_bounds,
    /// What a peer has done for it keeps to its share of work.
    ForgetWorkShare: walytis_engine::public_chains::shares::a_stranger_has_a_chain_walked_no_faster_than_its_share_allows,
    /// What strangers have done for them together keeps to their common share.
    ForgetStrangersShare: walytis_engine::public_chains::shares::strangers_have_no_more_done_together_than_two_of_them_and_a_friend_is_served_meanwhile,
    /// A peer shows so many invitations.
    ShowWithoutEnd: walytis_engine::public_chains::codes::a_peer_shows_so_many_invitations_and_all_together_have_a_bound,
    /// What invitations that are shown take has a bound over all peers.
    ForgetShownWork: walytis_engine::public_chains::codes::a_peer_shows_so_many_invitations_and_all_together_have_a_bound,
    /// Whoever has a first download by an invitation gets no second one by showing it again.
    DownloadTwice: walytis_engine::public_chains::codes::who_shows_its_code_again_has_no_second_first_download,
    /// What peers are sent together that have only brought blocks keeps to their common share.
    ForgetFollowersShare: walytis_engine::public_chains::followers::who_brought_one_block_shares_with_others_of_its_kind,
    /// Keys that are thrown away make nobody forgotten who has brought blocks.
    ForgetWhoBrought: walytis_engine::public_chains::followers::keys_that_are_thrown_away_have_no_follower_forgotten,
    /// What a peer sends of a chain keeps to its share of bytes.
    ForgetBytesShare: walytis_engine::public_chains::rules::a_peer_that_sends_more_than_its_share_is_made_to_wait,

    // Operations and membership.

    /// Only an admission names blocks of other chains.
    NameOtherChains: offchain_testkit::authorisation::only_an_admission_names_other_chains,
    /// Groups take blocks of the first format only.
    TakeNewerIntoGroups: offchain_testkit::newer_formats::a_group_passes_over_blocks_of_a_newer_format_and_goes_on,
    /// An epoch is for the view of its own ancestors: an older one would leave out a newcomer, or keep a reader.
    BeginForAnyView: offchain_testkit::attacks_joining::an_epoch_for_another_view_than_that_of_its_ancestors_is_refused,
    /// An admission uses an invitation that is open in its own ancestors.
    AdmitByClosed: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// An admission is of a new member with a new author key.
    AdmitTwice: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// The joiner's device, author key and transport key signed what an admission binds.
    SkipBinding: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// The invitation's key signed for this joiner in this session.
    SkipInvitationProof: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// A member of a group publishes a leaf key, to which epochs are wrapped.
    AdmitWithoutLeaf: offchain_testkit::attacks_joining::attack_07_a_request_to_join_without_valid_signatures_makes_no_member,
    /// Identities nest at most 8 deep.
    NestDeeper: offchain_testkit::fold::r3_chains_nest_eight_deep_over_short_paths_and_no_deeper,
    /// The blocks of other chains that an operation rests on have at most 256 KiB.
    RestOnAnything: offchain_testkit::hostile_members::c1_a_joiner_with_long_identity_chains_is_refused_before_nobody_can_pass_it_on,
    /// Nobody claims another's author key.
    ClaimAnyAuthor: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// Nobody claims another's transport key.
    ClaimAnyPeer: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// Of admissions at once by one invitation no more stand than it has uses.
    AdmitSurplus: offchain_testkit::fold::b4_c2_the_fold_over_a_set_is_the_same_in_any_order_and_from_whatever_was_remembered,
    /// What rests on an admission that does not stand falls with it.
    KeepFallen: offchain_testkit::fold::c2_an_admission_that_was_valid_stands_although_void_ones_claimed_its_use,
    /// The proof of an invitation is bound to the session in which it is shown.
    ProveInAnySession: walytis_identities::lib::invitation::tests::a_join_transcript_binds_each_of_its_fields,

    // Admitting.

    /// Who asks in a session is admitted as the peer of that session.
    AdmitOtherPeer: offchain_testkit::authorisation::attack_07_an_admission_is_of_the_device_and_the_peer_of_its_session,
    /// Who asks in a session is admitted as the device of that session.
    AdmitOtherDevice: offchain_testkit::authorisation::attack_07_an_admission_is_of_the_device_and_the_peer_of_its_session,
    /// An invitation that has expired admits nobody.
    AdmitByExpired: offchain_testkit::authorisation::an_invitation_admits_until_it_expires_by_the_inviters_clock,
    /// Of a joiner's identities only those along its path are kept.
    KeepAnyIdentity: offchain_testkit::peers::membership_is_checked_for_each_request_served,

    // Epochs and wraps.

    /// What was wrapped is the seed that the epoch's operation names.
    SkipSeedHash: walytis_identities::lib::wrap::tests::a_seed_that_the_operation_does_not_name_is_refused,
    /// A wrap that is given out alone is one of those that the operation commits to.
    SkipWrapProof: walytis_identities::lib::wrap::tests::one_wrap_is_proven_alone,
    /// A wrap is bound to its group and its epoch.
    WrapForAnyEpoch: walytis_identities::lib::wrap::tests::a_wrap_moved_to_another_epoch_or_group_does_not_open,
    /// A list of wraps is the one that the operation commits to.
    SkipWrapsRoot: walytis_identities::lib::wrap::tests::malformed_lists_are_refused,
    /// A device takes only its own wrap.
    TakeOthersWrap: walytis_identities::lib::wrap::tests::a_device_takes_no_wrap_of_another,
    /// An epoch's key is bound to its group and its view.
    KeyForAnyView: walytis_identities::lib::epoch_seed::tests::the_key_is_bound_to_group_and_view,
    /// A Merkle proof has the shape of its tree.
    AcceptAnyProofShape: walytis_identities::lib::merkle::tests::proofs_of_another_shape_are_refused,
    /// A Merkle root binds the number of leaves.
    RootWithoutSize: walytis_identities::lib::merkle::tests::proofs_of_another_shape_are_refused,
    /// A key of low order, with which every shared secret is zero, is refused.
    AcceptLowOrder: walytis_identities::lib::kem::tests::both_sides_agree_and_bad_keys_are_refused,
    /// A wrap is given only to a device that the epoch names.
    WrapForUnnamed: offchain_testkit::hostile_members::s4_newcomers_get_nothing_old_whosever_leaf_key_they_claim,

    // Sessions.

    /// A first flight is from the peer that it names.
    AnswerAnySender: walytis_identities::lib::session::tests::strangers_and_wrong_peers_cost_no_key_and_no_signature,
    /// A first flight is for this peer.
    AnswerForOthers: walytis_identities::lib::session::tests::strangers_and_wrong_peers_cost_no_key_and_no_signature,
    /// A joiner's first flight names an invitation of the group.
    AnswerUninvited: walytis_identities::lib::session::tests::strangers_and_wrong_peers_cost_no_key_and_no_signature,
    /// A joiner's first flight is signed by its invitation's key.
    SkipInvitationSignature: walytis_identities::lib::session::tests::attacks::attack_05_a_public_invitation_key_alone_gives_nothing,
    /// The third flight is signed by the initiator's device.
    SkipInitiatorSignature: walytis_identities::lib::session::tests::attacks::a_member_without_its_device_key_gets_no_further_than_the_third_flight,
    /// The third flight comes from the peer of the first.
    ThirdFromAnybody: walytis_identities::lib::session::tests::attacks::a_third_flight_from_another_peer_is_refused,
    /// The second flight is signed by the responder's device.
    SkipResponderSignature: walytis_identities::lib::session::tests::attacks::attack_04_handshake_is_bound_to_both_transport_peers_and_session_keys,
    /// The responder has confirmed that it has the session's keys.
    SkipConfirmation: walytis_identities::lib::session::tests::attacks::a_responder_that_cannot_open_the_kem_is_refused,
    /// The second flight is by the device that was asked.
    TakeAnyResponder: walytis_identities::lib::session::tests::attacks::attack_04_handshake_is_bound_to_both_transport_peers_and_session_keys,
    /// What the responder signs binds the first flight.
    SignWithoutFirst: walytis_identities::lib::vectors::the_format_has_not_changed,
    /// What the initiator signs binds flights 1 and 2.
    SignWithoutSession: walytis_identities::lib::session::tests::attacks::a_members_signature_from_one_session_is_refused_in_another,
    /// What the initiator signs binds what it says first.
    SignWithoutFirstData: walytis_identities::lib::vectors::the_format_has_not_changed,
    /// Each direction of a session has a key of its own.
    OneKeyBothWays: walytis_identities::lib::session::tests::frames::a_frame_neither_returns_to_its_sender_nor_fits_another_session,
    /// After a frame that does not open the session is over.
    GoOnAfterFailure: walytis_identities::lib::session::tests::frames::frames_that_are_not_the_next_one_end_the_session,

    // Private content and serving it.

    /// Content has the size class that its block shows.
    ShowAnySize: walytis_offchain::sealing::content_has_the_size_class_that_its_block_shows,
    /// The padding of content is zeros: nothing travels in it.
    PadWithAnything: walytis_offchain::sealing::content_opens_only_with_padding_of_zeros,
    /// Sealed content is bound to its chain.
    SealWithoutChain: offchain_testkit::encodings::s5_sealed_content_opens_nowhere_else,
    /// What a member of a group asks for is on that group's chain.
    ServeOtherGroups: offchain_testkit::authorisation::s2_a_member_of_one_group_is_given_nothing_of_another_by_naming_its_own,
    /// A block that comes for a group is on that group's chain.
    TakeOtherGroups: offchain_testkit::attacks::attack_02_a_signature_fits_no_other_block_content_topic_or_chain,
    /// What is of another overlay than the group's own is no post.
    ShowOtherOverlays: offchain_testkit::newer_formats::f7_f14_an_old_node_keeps_working_beside_a_hostile_newer_one,
    /// Public and private blocks are never on one chain.
    MixKinds: offchain_testkit::kinds::attack::no_block_enters_a_chain_of_another_kind,
    /// A message is sealed when it leaves: what may leave earlier overtakes none that is sealed already.
    SealEarly: offchain_testkit::peers::what_waits_in_a_session_that_is_replaced_does_not_leave,
    /// A message leaves in the session for which it was decided on, or never.
    SealForWhoever: offchain_testkit::peers::what_waits_in_a_session_that_is_replaced_does_not_leave,
    /// What comes beside a block that needs nothing is refused.
    TakeNeedless: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// Questions and blocks about chains that nobody here knows end a session's connection.
    ForgetUnknownChains: offchain_testkit::peers::what_is_about_chains_that_nobody_knows_ends_a_connection,
    /// Whom a node did not admit is told of, however many there were before.
    MuteRefusals: walytis_offchain::lib::engine::refused::tests::the_last_refused_joiner_is_told_however_many_there_were,
    /// Whoever has a spent code gets its answer, though others with the code have had all that the code is answered.
    AnswerNoNewcomer: offchain_testkit::first_flights::f15_who_holds_a_spent_code_is_told_so_whoever_else_shows_it,
    /// Private content is opened and shown only under an epoch of its block's own ancestors.
    ShowAnyEpoch: offchain_testkit::unreadable_blocks::content_under_an_epoch_that_its_author_did_not_know_is_never_shown,
    /// Nobody waits for the content of another overlay's block.
    AwaitOtherOverlays: offchain_testkit::newer_formats::f7_nobody_waits_for_the_content_of_another_overlays_block,

    // At rest.

    /// A sealed row is bound to its key.
    SealForAnyRow: offchain_store::sealing::a_row_put_in_another_place_is_found,
    /// Ids are hidden in the file.
    ShowIds: offchain_store::sealing::no_value_and_no_id_is_seen_below,
    /// The rows of a changing table are those that were left.
    SkipRootRow: offchain_store::sealing::a_changing_table_that_is_not_as_it_was_left_is_found_on_opening,
    /// Each sealed row has a nonce of its own.
    RepeatNonce: offchain_store::sealing::no_nonce_repeats,
    /// A store of another format is refused by its number.
    OpenAnyFormat: offchain_store::sealing::a_guard_of_another_format_is_named,
    /// A damaged half of the key file is noticed.
    SkipSlotSum: offchain_store::key_file::a_half_that_is_damaged_is_seen_until_opening_mends_it,
    /// A cost of stretching that a file names is refused beyond a bound, before it is paid.
    PayAnyCost: offchain_store::lib::kdf::tests::costs_out_of_bounds_are_refused,
}

noticed! {
    /// A chain's kind is that of its genesis, and its id has one owner.
    MistakeKind: offchain_testkit::kinds::attack::a_group_is_not_joined_while_its_id_is_joined_as_a_public_chain,
    /// A block is signed by its author.
    SkipSignature: offchain_testkit::attacks::attack_01_content_without_its_authors_signature_is_neither_stored_nor_shown,
    /// An operation is signed by its author's device in ML-DSA, too.
    SkipHybridHalf: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// Content has the hash that its header says.
    SkipContentHash: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// A value has one encoding.
    AcceptOverlong: walytis_core::lib::codec::tests::only_the_one_encoding_is_accepted,
    /// A block enters the set behind its parents.
    TakeOrphan: offchain_testkit::properties::b4_b5_b6_any_order_of_arrival_gives_the_same_set_and_listing,
    /// An author's blocks are numbered one by one.
    SkipSequence: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// Only members write.
    SkipAuthor: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// Content has the length that its header says.
    TrustLength: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// Only managers do what managers may.
    SkipRole: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// A block is judged by its own ancestors.
    JudgeByView: offchain_testkit::swarm::writers_who_owe_an_epoch_at_once_begin_two_and_all_can_read_both,
    /// Blocks of other chains are taken in only if the block beside them names them.
    TakeUnnamed: offchain_testkit::attacks_joining::attack_07_an_admission_without_valid_signatures_or_right_makes_no_member,
    /// Private content is what its block commits to.
    SkipCommitment: offchain_testkit::authorisation::b3_what_does_not_hold_is_refused_with_nothing_beside_it,
    /// Sealed content is bound to its block.
    SealWithoutBlock: offchain_testkit::encodings::s5_sealed_content_opens_nowhere_else,
    /// Each sealed content has a key and a nonce of its own.
    ReuseNonce: walytis_offchain::vectors::the_format_has_not_changed,
    /// Who is no member of a group is served nothing of it.
    ServeStranger: offchain_testkit::peers::membership_is_checked_for_each_request_served,
    /// A newcomer is given no content from before its admission where the group says so.
    ServeHistory: offchain_testkit::swarm::a_newcomer_since_join_reads_only_what_is_sealed_from_its_admission_on,
    /// Who writes after an admission begins an epoch that has the newcomer.
    ForgetRotation: offchain_testkit::hostile_members::s4_newcomers_get_nothing_old_whosever_leaf_key_they_claim,
    /// A use of an invitation counts.
    ReuseInvitation: walytis_engine::public_chains::rules::invitations_are_enforced_listed_and_revoked,
    /// Two blocks of one author with one number are evidence.
    MissFork: walytis_engine::public_chains::hostile::forks_converge_and_are_told_as_evidence,
}
