# The part of bench_logistic.py that runs in R. Prints the versions, or times one cv.glmnet:
#   Rscript bench_glmnet.R
#   Rscript bench_glmnet.R folder rows features thresh processors
# The folder holds X, y, folds and alphas as raw doubles, X column by column; the answer is added:
# seconds, number of alphas, intercepts, coefficients alpha by alpha, cross-validated deviances.

args <- commandArgs(trailingOnly = TRUE)
version <- function(name) {
  if (requireNamespace(name, quietly = TRUE)) as.character(packageVersion(name)) else "none"
}
if (length(args) == 0) {
  cat(as.character(getRversion()), version("glmnet"), version("doMC"), "\n")
  quit()
}

suppressPackageStartupMessages(library(glmnet))
n <- as.integer(args[2])
p <- as.integer(args[3])
processors <- as.integer(args[5])
doubles <- function(name, count) readBin(file.path(args[1], name), "double", count)
X <- matrix(doubles("X", n * p), n, p)
y <- doubles("y", n)
folds <- as.integer(doubles("folds", n)) + 1L
alphas <- doubles("alphas", 10000)
if (processors > 1) {
  suppressPackageStartupMessages(library(doMC))
  registerDoMC(processors)
}

start <- proc.time()[["elapsed"]]
found <- cv.glmnet(
  X, y, family = "binomial", type.measure = "deviance", alpha = 1, lambda = alphas,
  foldid = folds, standardize = TRUE, thresh = as.double(args[4]), parallel = processors > 1
)
seconds <- proc.time()[["elapsed"]] - start

path <- found$glmnet.fit
coefficients <- as.vector(as.matrix(path$beta))
answer <- c(seconds, length(path$lambda), as.vector(path$a0), coefficients, found$cvm)
writeBin(answer, file.path(args[1], "answer"))
