"""Estimators of scikit-learn, unfitted."""

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSCanonical, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    BayesianRidge,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVR


def mlp(**options):
    return MLPRegressor(
        **{"hidden_layer_sizes": (8, 8), "activation": "tanh", "solver": "lbfgs", "alpha": 1.0}
        | {"max_iter": 60, "random_state": 0}
        | options
    )


def _process(kernel):
    return make_pipeline(
        StandardScaler(),
        GaussianProcessRegressor(kernel + WhiteKernel(0.5), optimizer=None, normalize_y=True),
    )


def _scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


def _quantiles(kind):
    # Not of the second column, which has two values: quantiles that repeat are jumps.
    columns = [("q", QuantileTransformer(n_quantiles=20, output_distribution=kind), [0, 2, 3])]
    return make_pipeline(ColumnTransformer(columns), PolynomialFeatures(2), Ridge(0.01))


def _columns():
    columns = [
        ("scaled", StandardScaler(), [0, 1, 5]),
        ("ranged", make_pipeline(MinMaxScaler(), PCA(2)), slice(2, 5)),
        ("kept", "passthrough", [8]),
        ("left", "drop", [9]),
    ]
    return make_pipeline(ColumnTransformer(columns, remainder=RobustScaler()), mlp())


REGRESSORS = {
    "perceptron": lambda: _scaled(mlp()),
    "perceptron of Adam": lambda: _scaled(mlp(solver="adam", early_stopping=True)),
    "perceptron of ReLUs": lambda: make_pipeline(MinMaxScaler(clip=True), mlp(activation="relu")),
    "logistic perceptron": lambda: make_pipeline(RobustScaler(), mlp(activation="logistic")),
    "largest values": lambda: make_pipeline(MaxAbsScaler(), mlp()),
    "Yeo-Johnson": lambda: make_pipeline(PowerTransformer(), PolynomialFeatures(2), Ridge()),
    "Box-Cox": lambda: make_pipeline(
        MinMaxScaler((1, 2)), PowerTransformer("box-cox"), PolynomialFeatures(2), Ridge()
    ),
    "uniform quantiles": lambda: _quantiles("uniform"),
    "normal quantiles": lambda: _quantiles("normal"),
    "lengths": lambda: make_pipeline(Normalizer(), mlp()),
    "sums": lambda: make_pipeline(MinMaxScaler((1, 2)), Normalizer("l1"), mlp()),
    "principal components": lambda: make_pipeline(RobustScaler(), PCA(4, whiten=True), mlp()),
    "singular values": lambda: make_pipeline(StandardScaler(), TruncatedSVD(4), mlp()),
    "independent components": lambda: _scaled(make_pipeline(FastICA(4, random_state=0), mlp())),
    "factors": lambda: _scaled(make_pipeline(FactorAnalysis(4), mlp())),
    "components of a kernel": lambda: _scaled(
        make_pipeline(KernelPCA(4, kernel="rbf", gamma=0.02), Ridge(0.01))
    ),
    "components of angles": lambda: _scaled(
        make_pipeline(KernelPCA(4, kernel="cosine"), Ridge(0.01))
    ),
    "polynomial": lambda: make_pipeline(PolynomialFeatures(3), Ridge(0.01)),
    "products": lambda: make_pipeline(
        PolynomialFeatures((2, 3), interaction_only=True, include_bias=False), Ridge(0.01)
    ),
    "splines": lambda: make_pipeline(SplineTransformer(5), Ridge(0.01)),
    "periodic splines": lambda: make_pipeline(
        SplineTransformer(5, extrapolation="periodic", include_bias=False), Ridge(0.01)
    ),
    "linear beyond splines": lambda: make_pipeline(
        SplineTransformer(4, degree=4, extrapolation="linear", knots="quantile"), Ridge(0.01)
    ),
    "process": lambda: _process(ConstantKernel(2.0) * RBF(3.0)),
    "process of lengths": lambda: _process(RBF(np.linspace(2, 4, 10))),
    "Matern 5/2": lambda: _process(Matern(3.0, nu=2.5)),
    "Matern 3/2": lambda: _process(Matern(3.0, nu=1.5)),
    "rational process": lambda: _process(RationalQuadratic(3.0, 0.7)),
    "periodic process": lambda: _process(ExpSineSquared(2.0, 40.0)),
    "process of products": lambda: _process(DotProduct(0.5) ** 2),
    "kernel ridge": lambda: _scaled(KernelRidge(kernel="rbf", gamma=0.02)),
    "cubic kernel ridge": lambda: _scaled(KernelRidge(kernel="poly", degree=3)),
    "support vectors": lambda: _scaled(SVR(C=10)),
    "cubic support vectors": lambda: _scaled(SVR(kernel="poly", coef0=1)),
    "sigmoid support vectors": lambda: _scaled(NuSVR(kernel="sigmoid", gamma=0.01)),
    "partial least squares": lambda: PLSRegression(3),
    "canonical": lambda: PLSCanonical(1),
    "lasso": lambda: Lasso(0.01),
    "bayesian": lambda: BayesianRidge(),
    "huber": lambda: HuberRegressor(max_iter=1000),
    "poisson": lambda: _scaled(PoissonRegressor()),
    "gamma": lambda: _scaled(GammaRegressor()),
    "tweedie": lambda: _scaled(TweedieRegressor(power=1.5)),
    "scaled target": lambda: TransformedTargetRegressor(_scaled(mlp()), transformer=RobustScaler()),
    "powers of the target": lambda: TransformedTargetRegressor(
        _scaled(mlp()), transformer=make_pipeline(MinMaxScaler(), PowerTransformer())
    ),
    "logarithm of the target": lambda: TransformedTargetRegressor(
        Ridge(), func=np.log, inverse_func=np.exp
    ),
    "columns": _columns,
    "union": lambda: make_pipeline(
        make_union(StandardScaler(), PCA(3), "passthrough", PolynomialFeatures(2)), Ridge(0.01)
    ),
    "nested": lambda: make_pipeline(
        make_pipeline(StandardScaler(), make_pipeline(PCA(5))), make_pipeline(MinMaxScaler(), mlp())
    ),
    "function": lambda: make_pipeline(
        MinMaxScaler(), FunctionTransformer(np.log1p), PolynomialFeatures(2), Ridge(0.01)
    ),
    "vote": lambda: VotingRegressor(
        [("a", _scaled(mlp())), ("b", Ridge()), ("c", "drop")], weights=[1, 2, 3]
    ),
    "stack": lambda: StackingRegressor(
        [("a", _scaled(mlp())), ("b", Ridge())], Ridge(), passthrough=True
    ),
    "bag": lambda: BaggingRegressor(_scaled(mlp()), 3, max_features=0.5, random_state=0),
    "best columns": lambda: make_pipeline(SelectKBest(f_regression, k=4), _scaled(mlp())),
    "imputed": lambda: make_pipeline(SimpleImputer(), _scaled(mlp())),
    "some points": lambda: _scaled(
        make_pipeline(Nystroem(n_components=20, gamma=0.02, random_state=0), Ridge(0.01))
    ),
    "cosines": lambda: _scaled(
        make_pipeline(RBFSampler(n_components=20, gamma=0.02, random_state=0), Ridge(0.01))
    ),
}

OF_TWO_TARGETS = {
    "two targets": lambda: _scaled(mlp()),
    "process of two": lambda: GaussianProcessRegressor(RBF(0.2), alpha=1.0, normalize_y=True),
    "kernel ridge of two": lambda: KernelRidge(kernel="rbf", gamma=0.1),
    "machine for each": lambda: MultiOutputRegressor(_scaled(SVR())),
    "chain": lambda: RegressorChain(_scaled(SVR()), order=[1, 0]),
    "least squares of two": lambda: PLSRegression(2),
    "scaled targets": lambda: TransformedTargetRegressor(
        _scaled(mlp()), transformer=StandardScaler()
    ),
}

TRANSFORMERS = {
    "stack within": lambda: make_pipeline(
        StackingRegressor([("a", _scaled(mlp())), ("b", Ridge())], passthrough=True),
        VotingRegressor([("a", _scaled(mlp())), ("b", Ridge())]),
        StandardScaler(),
    ),
    "components alone": lambda: make_pipeline(StandardScaler(), KernelPCA(3, kernel="rbf")),
    "discriminants": lambda: make_pipeline(StandardScaler(), PCA(3)),
}

CLASSIFIERS = {
    "logistic": lambda: _scaled(LogisticRegression()),
    "perceptron of classes": lambda: _scaled(
        MLPClassifier((8,), activation="tanh", alpha=1.0, max_iter=200, random_state=0)
    ),
    "support vectors of classes": lambda: _scaled(SVC()),
    "pairs of classes": lambda: _scaled(SVC(decision_function_shape="ovo")),
    "linear machine": lambda: _scaled(LinearSVC()),
    "ridge of classes": lambda: _scaled(RidgeClassifier()),
    "descent": lambda: _scaled(SGDClassifier(loss="log_loss", random_state=0)),
    "linear discriminants": lambda: _scaled(LinearDiscriminantAnalysis()),
    "quadratic discriminants": lambda: _scaled(QuadraticDiscriminantAnalysis()),
    "naive Bayes": lambda: _scaled(GaussianNB()),
    "vote of classes": lambda: VotingClassifier(
        [("a", _scaled(LogisticRegression())), ("b", GaussianNB())], voting="soft"
    ),
}
