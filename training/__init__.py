"""Fine-tuning GPT-2 into checkpoints of gpt-2-simple's layout.

The rooms of a training run, in the order in which it walks through them:

- `base`: what a run starts from: `mini`, a downloaded GPT-2, a folder, a file, or nothing;
- `download`: OpenAI's published models, over an unreliable line;
- `vocabulary`: a byte-level BPE of one's own, for what starts from nothing;
- `dataset`: the corpus as one stream of tokens, and the windows that steps read;
- `plan`: what each step reads, of one corpus or of several one after another, and at which rate;
- `run`: the folder checkpoint/<run>, what is written when, so that a kill loses nothing saved;
- `trainer`: what an engine of training does, and how its weights and Adam's moments are saved;
- `gpt2simple`: the engine on gpt-2-simple's graph (imports TensorFlow);
- `pytorch`: the engine on PyTorch (imports it);
- `memory`: how much of it training takes, and how it fits;
- `processes` and `distributed`: several of them, started by torchrun, that train together;
- `evaluation`: the loss on documents held out, and how much of what is written is copied;
- `loop`: steps, progress, evaluation, saving, interruption, when to stop;
- `metrics` and `report`: what was measured, as JSON lines and as a page;
- `tracking`: whom it is told besides: `tensorboard`'s event files, and `mlflow_run`;
- `history` and `model_card`: how the run came about, as JSON lines and for those who get the model.
- `measures` and `comparison`: finished models, measured with care and side by side;
- `feedback`: from what visitors picked to documents to learn from;
- `promotion`: whether a run is as good as the one that is served, and putting it in its place;
- `successor`: both, with fine-tuning between them.
"""

from training.errors import TrainingError

__all__ = ["TrainingError"]
