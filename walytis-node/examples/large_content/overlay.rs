//! The overlay: a content that does not fit one post below is cut into pieces, and put together again by whoever reads.
//!
//! A post below begins with a tag that says which of three it is: a whole content; a piece; or a head, which names the
//! pieces and stands for the item. The pieces are written before their head, so they are among its ancestors: where it
//! is, they are, but for those whose own content is still on its way in a private group.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use walytis_node::layers::{Arrival, Arrivals, Item, Layer, LayerError, PAGE_BYTES, PostLimits};
use walytis_node::{BlockId, Post};

/// The tags, so that what others write to the same chain is left alone.
const WHOLE: &[u8] = b"large/whole/1:";
const PIECE: &[u8] = b"large/piece/1:";
const HEAD: &[u8] = b"large/heads/1:";
const TAG_BYTES: usize = WHOLE.len();

/// The most pieces of one content, which is held in memory when it is written or read.
const PIECES_MAX: usize = 8;

/// The most heads that arrivals remember to wait for a piece. Whoever may write can name pieces that never come; the oldest
/// head makes room then, and is found by reading.
const WAITING_MAX: usize = 1024;

/// Contents of up to eight times what a post below holds.
pub(crate) struct LargeContent {
    below: Arc<dyn Layer>,
}

impl LargeContent {
    /// The overlay on a layer, which has room for the tag and the names of eight pieces.
    pub(crate) fn new(below: Arc<dyn Layer>) -> Self {
        Self { below }
    }

    fn piece_bytes_max(&self) -> usize {
        self.below.limits().content_bytes_max.saturating_sub(TAG_BYTES)
    }

    /// What an item below is up here; `None` if it is a piece, or nothing of ours.
    async fn shown(&self, below: Item) -> Result<Option<(Item, Option<BlockId>)>, LayerError> {
        let Some(Post { topics, content }) = &below.post else { return Ok(None) };
        let (content, missing) = match (content.strip_prefix(WHOLE), content.strip_prefix(HEAD)) {
            (Some(whole), _) => (Some(whole.to_vec()), None),
            (_, Some(names)) => match self.put_together(names).await? {
                Ok(content) => (Some(content), None),
                Err(missing) => (None, missing),
            },
            _ => return Ok(None),
        };
        let post = content.map(|content| Post { topics: topics.clone(), content });
        Ok(Some((Item { post, ..below }, missing)))
    }

    /// The content of a head, or the piece that it waits for; `None` if it names what can be none.
    async fn put_together(&self, names: &[u8]) -> Result<Result<Vec<u8>, Option<BlockId>>, LayerError> {
        let (names, rest) = names.as_chunks::<32>();
        // Each piece is written for one place: a head that names one twice would be a little that stands for much.
        let is_twice = |(at, name): (usize, &[u8; 32])| names[..at].contains(name);
        if !rest.is_empty() || names.len() > PIECES_MAX || names.iter().enumerate().any(is_twice) {
            return Ok(Err(None));
        }
        let mut content = Vec::new();
        for name in names.iter().copied().map(BlockId) {
            let Some(post) = self.below.item(name).await?.and_then(|piece| piece.post) else {
                return Ok(Err(Some(name)));
            };
            let Some(piece) = post.content.strip_prefix(PIECE) else { return Ok(Err(None)) };
            content.extend_from_slice(piece);
        }
        Ok(Ok(content))
    }
}

#[async_trait]
impl Layer for LargeContent {
    fn limits(&self) -> PostLimits {
        let content_bytes_max = self.piece_bytes_max().saturating_mul(PIECES_MAX);
        PostLimits { content_bytes_max, ..self.below.limits() }
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        self.limits().check(&post)?;
        let Post { topics, content } = post;
        if content.len() <= self.piece_bytes_max() {
            return self.below.post(Post { topics, content: [WHOLE, &content].concat() }).await;
        }
        let mut head = HEAD.to_vec();
        for piece in content.chunks(self.piece_bytes_max()) {
            head.extend_from_slice(&self.below.post([PIECE, piece].concat().into()).await?.0);
        }
        self.below.post(Post { topics, content: head }).await
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        let Some(below) = self.below.item(id).await? else { return Ok(None) };
        Ok(self.shown(below).await?.map(|(item, _)| item))
    }

    async fn read(&self, mut from: u64) -> Result<Vec<Item>, LayerError> {
        loop {
            let page = self.below.read(from).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            from = last.position + 1;
            let (mut items, mut bytes) = (Vec::new(), 0);
            for below in page {
                let Some((item, _)) = self.shown(below).await? else { continue };
                bytes += item.post.as_ref().map_or(0, |post| post.content.len());
                items.push(item);
                // Heads are small where contents are large.
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        let below = self.below.arrivals().await?;
        let overlay = Self { below: Arc::clone(&self.below) };
        let mut waiting = Waiting::default();
        // Heads that wait for a piece are few. An overlay with more to remember keeps an index of it in a store.
        let mut from = 0;
        'heads: loop {
            let page = overlay.below.read(from).await?;
            let Some(last) = page.last() else { break };
            from = last.position + 1;
            for head in page {
                if head.position >= below.from() {
                    break 'heads;
                }
                let (id, position) = (head.id, head.position);
                if let Some((_, Some(piece))) = overlay.shown(head).await? {
                    waiting.insert(piece, id, position);
                }
            }
        }
        Ok(Box::new(LargeArrivals { overlay, below, taken: None, freed: VecDeque::new(), waiting }))
    }
}

/// Heads that wait, by the piece for which they do, with their positions.
#[derive(Default)]
struct Waiting(BTreeMap<(BlockId, BlockId), u64>);

impl Waiting {
    fn insert(&mut self, piece: BlockId, head: BlockId, position: u64) {
        self.0.insert((piece, head), position);
        if self.0.len() > WAITING_MAX
            && let Some((_, oldest)) = self.0.iter().map(|(pair, position)| (*position, *pair)).min()
        {
            self.0.remove(&oldest);
        }
    }

    /// The heads that wait for a piece, and do no more.
    fn take(&mut self, piece: BlockId) -> Vec<BlockId> {
        let of_this = self.0.range((piece, BlockId([0; 32]))..=(piece, BlockId([u8::MAX; 32])));
        let heads: Vec<BlockId> = of_this.map(|((_, head), _)| *head).collect();
        heads.iter().for_each(|head| _ = self.0.remove(&(piece, *head)));
        heads
    }
}

struct LargeArrivals {
    overlay: LargeContent,
    below: Box<dyn Arrivals>,
    /// What was taken from below and is not dealt with: if `next` is cancelled meanwhile, it is still here.
    taken: Option<Arrival>,
    /// Heads whose piece has come. They are put together one at a time, when they are asked for: each may be large.
    freed: VecDeque<BlockId>,
    waiting: Waiting,
}

#[async_trait]
impl Arrivals for LargeArrivals {
    fn from(&self) -> u64 {
        self.below.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        loop {
            if let Some(head) = self.freed.front().copied() {
                let Some(below) = self.overlay.below.item(head).await? else {
                    self.freed.pop_front();
                    continue;
                };
                let position = below.position;
                let shown = self.overlay.shown(below).await?;
                // Nothing changes before all of that is known.
                self.freed.pop_front();
                let Some((item, missing)) = shown else { continue };
                missing.into_iter().for_each(|piece| self.waiting.insert(piece, head, position));
                if item.post.is_some() {
                    return Ok(Some(Arrival::Content(item)));
                }
                continue;
            }
            let arrival = match self.taken.clone() {
                Some(arrival) => arrival,
                None => match self.below.next().await? {
                    Some(arrival) => self.taken.insert(arrival).clone(),
                    None => return Ok(None),
                },
            };
            let (Arrival::Item(below) | Arrival::Content(below)) = arrival else {
                self.taken = None;
                continue;
            };
            let (id, position, has_come) = (below.id, below.position, below.post.is_some());
            let shown = self.overlay.shown(below).await?;
            self.taken = None;
            if has_come {
                self.freed.extend(self.waiting.take(id));
            }
            // What came without its post said nothing of what it is, so it was not shown before.
            if let Some((item, missing)) = shown {
                missing.into_iter().for_each(|piece| self.waiting.insert(piece, id, position));
                return Ok(Some(Arrival::Item(item)));
            }
        }
    }
}
