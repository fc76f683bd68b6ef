//! The overlay: a content that does not fit one post below is cut into pieces, and put together again by whoever reads.
//!
//! A post below begins with a tag that says which of three it is: a whole content; a piece; or a head, which names the
//! pieces and stands for the item. The pieces are written before their head, so they are among its ancestors: where it
//! is, they are, but for those whose own content is still on its way in a private group.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use walytis_node::layers::{Arrival, Arrivals, Item, Layer, LayerError, PostLimits};
use walytis_node::{BlockId, Post};

/// The tags, so that what others write to the same chain is left alone.
const WHOLE: &[u8] = b"large/whole/1:";
const PIECE: &[u8] = b"large/piece/1:";
const HEAD: &[u8] = b"large/heads/1:";
const TAG_BYTES: usize = WHOLE.len();

/// The most pieces of one content, which is held in memory when it is written or read.
const PIECES_MAX: usize = 8;

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
        if !rest.is_empty() || names.len() > PIECES_MAX {
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
            let mut items = Vec::new();
            for below in page {
                items.extend(self.shown(below).await?.map(|(item, _)| item));
            }
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        let below = self.below.arrivals().await?;
        let overlay = Self { below: Arc::clone(&self.below) };
        let mut waiting = BTreeSet::new();
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
                let id = head.id;
                if let Some((_, Some(piece))) = overlay.shown(head).await? {
                    waiting.insert((piece, id));
                }
            }
        }
        Ok(Box::new(LargeArrivals { overlay, below, taken: None, ready: VecDeque::new(), waiting }))
    }
}

struct LargeArrivals {
    overlay: LargeContent,
    below: Box<dyn Arrivals>,
    /// What was taken from below and is not dealt with: if `next` is cancelled meanwhile, it is still here.
    taken: Option<Arrival>,
    ready: VecDeque<Arrival>,
    waiting: BTreeSet<Waits>,
}

/// A piece, and a head that waits for it.
type Waits = (BlockId, BlockId);

impl LargeArrivals {
    /// What follows from an arrival below, which heads wait for it no more, and which wait for what now. Nothing changes
    /// before all of that is known.
    async fn follow(&mut self, arrival: Arrival) -> Result<(Vec<Arrival>, Vec<Waits>, Vec<Waits>), LayerError> {
        let (mut arrivals, mut waiting) = (Vec::new(), Vec::new());
        let (Arrival::Item(below) | Arrival::Content(below)) = arrival else {
            return Ok((arrivals, Vec::new(), waiting));
        };
        let id = below.id;
        let of_this = self.waiting.range((id, BlockId([0; 32]))..).take_while(|(piece, _)| *piece == id);
        let freed: Vec<Waits> = if below.post.is_some() { of_this.copied().collect() } else { Vec::new() };
        if let Some((item, missing)) = self.overlay.shown(below).await? {
            waiting.extend(missing.map(|piece| (piece, id)));
            // What came without its post said nothing of what it is, so it was not shown before.
            arrivals.push(Arrival::Item(item));
        }
        for (_, head) in freed.iter().copied() {
            let Some(below) = self.overlay.below.item(head).await? else { continue };
            let Some((item, missing)) = self.overlay.shown(below).await? else { continue };
            waiting.extend(missing.map(|piece| (piece, head)));
            if item.post.is_some() {
                arrivals.push(Arrival::Content(item));
            }
        }
        Ok((arrivals, freed, waiting))
    }
}

#[async_trait]
impl Arrivals for LargeArrivals {
    fn from(&self) -> u64 {
        self.below.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        loop {
            if let Some(arrival) = self.ready.pop_front() {
                return Ok(Some(arrival));
            }
            let arrival = match self.taken.clone() {
                Some(arrival) => arrival,
                None => match self.below.next().await? {
                    Some(arrival) => self.taken.insert(arrival).clone(),
                    None => return Ok(None),
                },
            };
            let (arrivals, freed, waiting) = self.follow(arrival).await?;
            self.taken = None;
            freed.iter().for_each(|pair| _ = self.waiting.remove(pair));
            self.waiting.extend(waiting);
            self.ready.extend(arrivals);
        }
    }
}
