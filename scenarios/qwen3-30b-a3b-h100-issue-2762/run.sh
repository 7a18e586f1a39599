#!/usr/bin/env bash
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
# The command line that the first setting of Megatron-MoE-ModelZoo's run_30b.sh comes to ("EP + DP"). The second one is
#   MBS=4 RECOMPUTE="--recompute-granularity full --recompute-method uniform --recompute-num-layers 1"
TP=${TP:-1} PP=${PP:-1} EP=${EP:-8} CP=${CP:-1}
MBS=${MBS:-1}
GBS=${GBS:-256}
RECOMPUTE=${RECOMPUTE:-}

PARALLEL=(
  --tensor-model-parallel-size ${TP} --pipeline-model-parallel-size ${PP} --context-parallel-size ${CP}
  --expert-model-parallel-size ${EP} --expert-tensor-parallel-size 1 --sequence-parallel
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --tp-comm-overlap
)
MODEL=(
  --num-layers 48 --hidden-size 2048 --ffn-hidden-size 6144 --num-attention-heads 32
  --group-query-attention --num-query-groups 4 --kv-channels 128 --qk-layernorm
  --swiglu --normalization RMSNorm --disable-bias-linear --untie-embeddings-and-output-weights
  --position-embedding-type rope --rotary-base 1000000 --max-position-embeddings 40960
)
EXPERTS=(
  --num-experts 128 --moe-router-topk 8 --moe-ffn-hidden-size 768 --moe-grouped-gemm
  --moe-router-load-balancing-type aux_loss --moe-aux-loss-coeff 1e-3 --moe-router-dtype fp32
  --moe-token-dispatcher-type alltoall --moe-permute-fusion --moe-router-fusion --moe-router-force-load-balancing
)
TRAINING=(
  --bf16 --seq-length 4096 --micro-batch-size ${MBS} --global-batch-size ${GBS} --train-samples 268554688
  --cross-entropy-loss-fusion --cross-entropy-fusion-impl te --lr 1.2e-4 --min-lr 1.2e-5 --clip-grad 1.0
  --manual-gc --manual-gc-interval 5
)
srun python pretrain_gpt.py "${PARALLEL[@]}" "${MODEL[@]}" "${EXPERTS[@]}" "${TRAINING[@]}" ${RECOMPUTE} \
  --data-path ${DATA_PATH} --tokenizer-type HuggingFaceTokenizer --tokenizer-model Qwen/Qwen3-30B-A3B
